/* Included before all else by files in which little time goes by, or most of it in loops that are the same
 * either way: the compiler makes them small instead of fast, which saves a tenth of their code. Not for
 * callers. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("Os")
#endif
