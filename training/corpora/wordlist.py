"""Which words to learn *not* to react to: everyday ones, and those that sound most like the wanted ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

#: The vocabulary of Speech Commands, the most different-sounding first.
_EVERYDAY = (
    "left,right,up,down,stop,go,on,off,yes,no,seven,three,happy,house,marvin,bird,wow,zero,eight,five,dog,"
    "sheila,follow,two,six,cat,learn,visual,one,nine,four,tree,bed,forward,backward"
).split(",")
# Short common words, among which some resemble whatever is asked for.
_POOL = (
    "yet,guess,chess,less,mess,dress,yeah,yellow,note,snow,now,low,know,nose,new,not,nut,row,so,show,toe,know,"
    "top,step,stock,shop,drop,start,stuck,ton,gone,dawn,own,arm,can,coffee,cough,cup,cut,pup,app,town,crown,"
    "brown,noun,light,night,ride,write,wrong,lift,laughed,lend,let,get,goat,gold,coat,good,grow,hello,"
    "hollow,help,hey,hi,high,fellow,mellow,allow,camera,cicada,sonata,banana,tomato,papa,mama,"
    "music,must,play,pay,day,say,stay,pause,paws,post,next,text,test,back,bag,bad,head,said,red,bread,bat,hat,"
    "that,this,the,then,when,where,while,wheel,will,well,wall,ball,tall,call,all,old,cold,code,road,open,over,"
    "lock,look,lamp,light,like,lake,late,later,water,door,more,floor,warm,storm,alarm,computer,jarvis,service,"
    "alexa,electric,weather,whether,never,ever,seventy,heaven,eleven,ten,tea,free,thirty,alive,hive,dive,"
    "fine,line,wine,mine,sign,fire,wire,finish,fish,wish,dish,big,pig,kick,quick,sick,fix,mix,turn,burn"
).split(",")


def others(wanted: Sequence[str], phonemes: Callable[[str], str], count: int = 30) -> list[str]:
    """Choose ``count`` words for ``_unknown_``, none of which sounds the same as a wanted word.

    Up to a fifth are the nearest relatives of the wanted words by edit distance of their phonemes (each
    wanted word in turn gets its next nearest), the rest are everyday words.

    Args:
        wanted: words to be recognised.
        phonemes: pronunciation of a word, a character a phoneme.
        count: how many words to return at most.
    """
    sounds = {word: phonemes(word) for word in {*wanted, *_EVERYDAY, *_POOL}}
    taken = {sounds[word] for word in wanted}
    ranked = [
        sorted(
            set(_EVERYDAY + _POOL), key=lambda other, own=word: (distance(sounds[own], sounds[other]), other)
        )
        for word in wanted
    ]
    chosen: list[str] = []

    def take(word: str) -> None:
        # Of words that sound alike (two, too) the first is enough; a wanted one's double would be a lie.
        if sounds[word] not in taken:
            taken.add(sounds[word])
            chosen.append(word)

    for candidates in zip(*ranked, strict=True):
        for word in candidates:
            if len(chosen) < count // 5:
                take(word)
    for word in _EVERYDAY:
        if len(chosen) < count:
            take(word)
    return chosen


def distance(one: str, other: str) -> int:
    """Levenshtein distance: fewest insertions, deletions and replacements of single characters."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]
