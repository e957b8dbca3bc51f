"""Source lines for addresses: against addr2line, and a real crash of a real RISC-V program in QEMU."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.errors import UserError
from cicada.tools.monitor.decoder import Decoder
from cicada.tools.monitor.elf import Elf
from support.elves import COMPILERS, HEADER, RISCV, SOURCE, functions, link, needs

CPLUSPLUS = """
namespace outer {
namespace { struct Thing { int get(volatile int *p); static int count(int); }; }
__attribute__((noinline)) int Thing::get(volatile int *p) { return *p + 1; }
__attribute__((noinline)) int Thing::count(int n) { volatile int x = n; return x; }
template <typename T> __attribute__((noinline)) T twice(T v) { volatile T x = v; return x + x; }
}
volatile int g[4];
extern "C" void _start() {
    outer::Thing thing;
    for (;;) g[0] = thing.get(g) + outer::twice(g[1]) + outer::Thing::count(g[2]);
}
"""
ASSEMBLY = """
.text
.align 4
.globl fast
.type fast, @function
fast:
    nop
    ret
helper:
    ret
.align 4
"""
# ESP-IDF's words (panic_arch.c, panic.c) on the serial port of QEMU's machine "virt".
CRASHING = """
typedef unsigned u;
static void put(const char *s) { while (*s) *(volatile char *)0x10000000 = *s++; }
static void hex(u v)
{
    for (int i = 28; i >= 0; i -= 4) {
        char digit[2] = {"0123456789abcdef"[v >> i & 15], 0};
        put(digit);
    }
}
void panic(u *r)
{
    static const char names[] =
        "MEPC    RA      SP      GP      TP      T0      T1      T2      "
        "S0/FP   S1      A0      A1      A2      A3      A4      A5      "
        "A6      A7      S2      S3      S4      S5      S6      S7      "
        "S8      S9      S10     S11     T3      T4      T5      T6      ";
    put("Guru Meditation Error: Core  0 panic'ed (Illegal instruction). ");
    put("Exception was unhandled.\\r\\n\\r\\n");
    put("Core  0 register dump:");
    for (int i = 0; i < 32; i++) {
        char name[9] = {0};
        for (int k = 0; k < 8; k++) name[k] = names[i * 8 + k];
        put(i % 4 ? "" : "\\r\\n"); put(name); put(": 0x"); hex(r[i]); put("  ");
    }
    put("\\r\\n\\r\\nStack memory:\\r\\n");
    for (u at = r[2]; at < r[2] + 1024; at += 4) {
        if ((at - r[2]) % 32 == 0) { hex(at); put(": "); }
        put("0x"); hex(*(u *)at); put((at - r[2]) % 32 == 28 ? "\\r\\n" : " ");
    }
    put("\\r\\n\\r\\n\\r\\nELF file SHA256: 0123456789\\r\\n\\r\\nRebooting...\\r\\n");
    *(volatile u *)0x100000 = 0x5555;
    for (;;);
}
volatile int g[4];
typedef int (*callee)(int);
__attribute__((noinline)) void crash(int a) { g[0] = a; CRASH; g[1] = a; }
__attribute__((noinline)) int deep(int n)
{
    volatile int pad[5] = {n};
    if (n == 0) {
        crash(pad[0]);
        return 1;
    }
    return deep(n - 1) + pad[0];
}
static inline __attribute__((always_inline)) int wrapped(int n)
{
    g[2] = n;
    return deep(n) * 3;
}
__attribute__((noinline)) int app_main(int a)
{
    return wrapped(a) + 1;
}
"""
START = """
.option arch, +zicsr
.section .init, "ax"
.globl _start
_start:
    .cfi_startproc
    .cfi_undefined ra
    la sp, stack_top
    la t0, trap
    csrw mtvec, t0
    li a0, 2
    call app_main
1:  j 1b
    .cfi_endproc
.align 4
trap:
    csrw mscratch, sp
    la sp, frame
    sw ra, 4(sp)
    sw s0, 32(sp)
    sw s1, 36(sp)
    csrr t0, mepc
    sw t0, 0(sp)
    csrr t0, mscratch
    sw t0, 8(sp)
    mv a0, sp
    la sp, handler_top
    call panic
.bss
.align 4
frame: .space 128
.space 2048
handler_top:
.space 4096
stack_top: .space 1024
"""


def addr2line(elf, prefix, addresses, *options):
    """By address: functions and ``file:line`` in turn, the innermost first."""
    run = subprocess.run(
        [prefix + "addr2line", "-fia", *options, "-e", elf], input="\n".join(map(hex, addresses)),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = {}
    for line in run.stdout.splitlines():
        if line.startswith("0x"):
            found[int(line, 16)] = here = []
        else:
            here.append(re.sub(r" \(discriminator.*", "", line))
    return found


def ours(elf, address):
    """The same from :class:`Elf`."""
    found = []
    for place in elf.places(address):
        found += [place.function, f"{os.path.normpath(place.file)}:{place.line}"]
    return found


@pytest.fixture(scope="module")
def crashed(tmp_path_factory):
    """ELF file of the crashing program, and what the machine said."""

    def run(crash, *options):
        folder = tmp_path_factory.mktemp("crash")
        needs("qemu-system-riscv32")
        sources = {"crash.c": CRASHING.replace("CRASH", crash), "start.S": START}
        layout = "-Wl,--section-start=.init=0x80000000,-Ttext=0x80001000"
        elf = link(folder, sources, RISCV, "-g", layout, *(options or ["-Os"]))
        machine = (
            "qemu-system-riscv32 -M virt -bios none -display none -monitor none -serial stdio -kernel".split()
        )
        said = subprocess.run([*machine, elf], stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
        return elf, said.stdout.decode().split("\r\n")

    return run


@pytest.fixture(scope="module")
def damaged(crashed):
    """ELF file to be damaged, a crash of it, and its bytes."""
    elf, lines = crashed('__asm__ volatile("unimp")')
    return elf, lines, elf.read_bytes()


@pytest.mark.parametrize("prefix", list(COMPILERS))
@pytest.mark.parametrize("dwarf", ["-gdwarf-4", "-gdwarf-5"])
def test_lines_are_those_of_addr2line(tmp_path, prefix, dwarf):
    if prefix != RISCV and not shutil.which(prefix + "gcc"):
        pytest.skip(f"needs {prefix}gcc")
    path = link(tmp_path, {"a.c": SOURCE, "part/inline.h": HEADER}, prefix, "-Os", dwarf)
    elf, starts = Elf(path), functions(path, prefix)
    assert len(starts) == 3 and not any("unused" in str(elf.places(a)) for a in range(0, 64))
    oracle = addr2line(path, prefix, starts)
    assert {a: ours(elf, a) for a in starts} == oracle
    inside = [address for start, size in starts.items() for address in range(start, start + size)]
    oracle = addr2line(path, prefix, inside)
    assert {a: ours(elf, a)[1] for a in inside} == {a: oracle[a][1] for a in inside}
    deepest = max((ours(elf, a) for a in inside), key=len)
    assert deepest[::2] == ["both", "middle", "top"]
    assert [place.rpartition(":")[2] for place in deepest[1::2]] == ["2", "9", "14"]


def test_cplusplus_names_have_their_namespaces(tmp_path):
    path = link(tmp_path, {"a.cc": CPLUSPLUS})
    elf = Elf(path)
    names = {}
    for address, (demangled, place) in addr2line(path, RISCV, functions(path, RISCV), "-C").items():
        names[elf.places(address)[0].function] = demangled
        assert ours(elf, address)[1] == place
    assert {"outer::twice<int>", "_start", "outer::(anonymous namespace)::Thing::get"} <= set(names)
    assert all(name in demangled for name, demangled in names.items())


def test_assembly_has_names_and_lines(tmp_path):
    elf = Elf(
        link(
            tmp_path, {"a.c": "void fast(void); void _start(void) { fast(); for (;;); }", "fast.S": ASSEMBLY}
        )
    )
    start = next(a for a in range(0x42001000, 0x42001100) if "fast" in str(elf.places(a)))
    texts = [str(elf.places(start + n)[0]).replace(os.sep, "/") for n in (0, 2, 4)]
    assert [re.sub(r" at .*/", " at ", text) for text in texts] == [
        "fast at fast.S:7", "fast at fast.S:8", "helper at fast.S:10"
    ]  # fmt: skip


def test_without_debug_information_functions_are_still_named(tmp_path):
    path = link(tmp_path, {"a.c": SOURCE, "part/inline.h": HEADER}, RISCV, "-Os")
    elf = Elf(path)
    names = [addr2line(path, RISCV, [a])[a][0] for a in functions(path, RISCV)]
    assert [str(elf.places(a)[0]) for a in functions(path, RISCV)] == names


def test_only_code_has_a_place(tmp_path):
    elf = Elf(link(tmp_path, {"a.c": SOURCE, "part/inline.h": HEADER}))
    assert not any(elf.is_code(address) for address in (0, 0x3FFB1230, 0x42000FFE, 0x42002000, 0xFFFFFFFF))
    assert elf.is_code(0x42001000)
    assert elf.places(0x3FFB1230) == ()


def test_paths_below_the_working_folder_are_short(tmp_path, monkeypatch):
    path = link(tmp_path, {"a.c": SOURCE, "part/inline.h": HEADER})
    monkeypatch.chdir(tmp_path)
    decoder = Decoder(path)
    assert decoder.feed("0x42001000 0x42001000") in (
        ["0x42001000: leaf at a.c:4"],
        ["0x42001000: top at a.c:13"],
    )


@pytest.mark.parametrize(
    "line",
    [
        # debug_helpers.c, panic_arch.c and abort.c of ESP-IDF, and the chips' boot loaders in ROM.
        "Backtrace: {0}:0x3ffb1230 0x400d5678:0x3ffb1250 {1}:0x3ffb1270 |<-CORRUPTED",
        "PC      : {0}  PS      : 0x00060b30  A0      : 0x800d5678  A1      : {1}  ",
        "MEPC    : {0}  RA      : {1}  SP      : 0x3fc93a80  GP      : 0x3fc8b320  ",
        "abort() was called at PC {0} on core 0, from {1}",
        "Saved PC:{0} {1}",
        "assert failed: f a.c:1 ({0} {1})",
    ],
)
def test_addresses_of_panics_are_found(tmp_path, line):
    path = link(tmp_path, {"a.c": SOURCE, "part/inline.h": HEADER})
    starts = list(functions(path, RISCV))[:2]
    below = Decoder(path).feed(line.format(*map(hex, starts)))
    assert [text.split(":")[0] for text in below] == [hex(start) for start in starts]
    assert all(re.search(r": \w+ at .*a\.c:\d+$", text) for text in below)


def test_other_numbers_are_left_alone(tmp_path):
    decoder = Decoder(link(tmp_path, {"a.c": SOURCE, "part/inline.h": HEADER}))
    assert not any(
        map(decoder.feed, ["0x4200100", "0x420010000", "42001000", "I (1) x: 0x3ffb0000", "Backtrace:"])
    )


@pytest.mark.parametrize(
    "options", ["-Os", "-O0", "-O2", "-O3 -fno-omit-frame-pointer", "-Os -msave-restore"]
)
def test_a_real_crash_is_followed_to_the_first_function(crashed, options):
    elf, lines = crashed('__asm__ volatile("unimp")', *options.split())
    decoder, below = Decoder(elf), []
    for line in lines:
        said = decoder.feed(line)
        if said and "Backtrace" in said[0]:
            below = [re.sub(r"^(0x\w+: |  .inlined by. )(\w+) at .*/", r"\2 at ", text) for text in said[1:]]
    calls = {
        "crash": "__attribute__((noinline)) void crash(int a) { g[0] = a; CRASH; g[1] = a; }",
        "deepest": "        crash(pad[0]);",
        "deep": "    return deep(n - 1) + pad[0];",
        "wrapped": "    return deep(n) * 3;",
        "app_main": "    return wrapped(a) + 1;",
    }
    at = {name: 1 + CRASHING.split("\n").index(text) for name, text in calls.items()}
    assert below == [
        f"crash at crash.c:{at['crash']}",
        f"deep at crash.c:{at['deepest']}",
        f"deep at crash.c:{at['deep']}",
        f"deep at crash.c:{at['deep']}",
        f"wrapped at crash.c:{at['wrapped']}",
        f"app_main at crash.c:{at['app_main']}",
        "_start at start.S:12",
    ]


@pytest.mark.parametrize("crash", ['__asm__ volatile("unimp")', "((callee)a)(a)"])
def test_a_crash_is_followed_as_espressifs_decoder_and_gdb_do(crashed, crash):
    pytest.importorskip("esp_idf_panic_decoder")
    needs("gdb-multiarch")
    elf, lines = crashed(crash)
    panic = elf.with_name("panic.txt")
    start = lines.index("Core  0 register dump:")
    panic.write_text("\n".join(lines[start : next(n for n, line in enumerate(lines) if "SHA256" in line)]))
    target = f'target remote | "{sys.executable}" -m esp_idf_panic_decoder "{panic}"'
    gdb = subprocess.run(
        ["gdb-multiarch", "--batch", "-n", elf, "-ex", target, "-ex", "bt"], capture_output=True, text=True
    )
    frames = re.findall(r"(?m)^#\d+ +(?:0x\w+ in )?(\S+) .*?(?:at (\S+))?$", gdb.stdout)
    assert len(frames) >= 7, gdb.stdout + gdb.stderr
    below = next(said for said in map(Decoder(elf).feed, lines) if said and "Backtrace" in said[0])
    ours = [re.fullmatch(r"(?:0x\w+: |  .inlined by. )(\S+)(?: at (\S+))?", text) for text in below[1:]]
    assert [(found[1], os.path.basename(found[2] or "")) for found in ours] == [
        (name, os.path.basename(place)) for name, place in frames
    ]


def test_a_jump_to_nowhere_is_followed_from_its_caller(crashed):
    elf, lines = crashed("((callee)a)(a)")
    below = [said for line in map(Decoder(elf).feed, lines) for said in line if "0x" in said]
    start = next(n for n, text in enumerate(below) if text == "0x00000000: ??")
    assert [text.split(" at ")[0].split(": ")[1] for text in below[start + 1 : start + 5]] == [
        "crash", "deep", "deep", "deep"
    ]  # fmt: skip


def test_a_stack_that_ends_too_soon_lists_what_else_is_there(crashed):
    elf, lines = crashed('__asm__ volatile("unimp")')
    first = next(n for n, line in enumerate(lines) if line == "Stack memory:") + 1
    spoilt = [
        line.replace("MEPC    : 0x8", "MEPC    : 0x9").replace("RA      : 0x8", "RA      : 0x9")
        for line in lines
    ]
    below = [said for line in map(Decoder(elf).feed, spoilt[: first + 8] + [""]) for said in line]
    at = below.index("no further; code addresses on the stack, some left from earlier calls:")
    assert any("deep at" in said for said in below[at:])


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=30))
def test_a_damaged_elf_file_is_refused_or_endured(damaged, changes):
    elf, lines, whole = damaged
    data = bytearray(whole)
    for place, value in changes:
        data[int(place * len(data))] = value
    elf.write_bytes(data)
    try:
        decoder = Decoder(elf)
    except UserError:
        return
    for line in lines:
        decoder.feed(line)


def test_another_build_is_warned_of_once(tmp_path):
    path = link(tmp_path, {"a.c": SOURCE, "part/inline.h": HEADER})
    decoder, digits = Decoder(path), Elf(path).sha256
    # esp_app_desc.c at boot, panic.c at a panic
    assert not decoder.check(f"I (31) app_init: ELF file SHA256:  {digits[:9]}...")
    assert not decoder.check(f"ELF file SHA256: {digits[:9]}")
    assert not decoder.check("ELF file SHA256: No SHA256 Embedded")
    warning = decoder.check("ELF file SHA256: 0123456789")
    assert "0123456789" in warning and digits[:10] in warning and "--elf" in warning
    assert not decoder.check("ELF file SHA256: 0123456789")
    assert decoder.check("ELF file SHA256: 9876543210")


def test_a_new_build_is_taken_up(tmp_path):
    (tmp_path / "new").mkdir()
    path = link(tmp_path, {"a.c": SOURCE, "part/inline.h": HEADER})
    new = link(tmp_path / "new", {"a.c": SOURCE.replace("top", "peak"), "part/inline.h": HEADER})
    start = next(a for a in functions(path, RISCV) if "top" in str(Elf(path).places(a)))
    decoder = Decoder(path)
    assert " top at" in decoder.feed(hex(start))[0]
    path.write_bytes(b"\x7fELF half of a build")
    assert " top at" in decoder.feed(hex(start))[0]
    shutil.copy(new, path)
    assert " peak at" in decoder.feed(hex(start))[0]
    path.unlink()
    assert " peak at" in decoder.feed(hex(start))[0]


def test_what_is_no_elf_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no such file"):
        Decoder(tmp_path / "missing.elf")
    for n, data in enumerate((b"", b"text", b"\x7fELF", b"\x7fELF\x01\x01\x01" + b"\xff" * 100)):
        (tmp_path / f"{n}.elf").write_bytes(data)
        with pytest.raises(UserError, match="is no ELF file"):
            Decoder(tmp_path / f"{n}.elf")
