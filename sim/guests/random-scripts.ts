/** Random shell scripts with loops, jobs, redirections and signals. The same seed gives the same scripts. */

type Random = () => number;

/** Mulberry32. */
function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const NAMES = ['a', 'b'];
const FILES = ['f', 'g', 'd/h', 'none/i'];
const WORDS = ['one', 'two words', 'x', '', '$a', `\${b:-unset}`, '$((c + 3))', '$?'];
const SIGNALS = ['TERM', 'KILL', 'USR1', 'HUP'];
const DEPTH = 3;

/** `count` scripts, each for an empty directory. */
export function randomScripts(seed: number, count: number): string[] {
  const random = randomFrom(seed);
  return Array.from({ length: count }, () => {
    const lines = Array.from({ length: 2 + Math.floor(random() * 4) }, () => statement(random, 0));
    return ['mkdir d', ...lines, 'echo "end $?"; cat f g d/h 2> /dev/null; ls'].join('\n');
  });
}

const oneOf = <T>(random: Random, all: readonly T[]): T => all[Math.floor(random() * all.length)]!;
const text = (random: Random): string => `"${oneOf(random, WORDS)}"`;

const SIMPLE: readonly ((random: Random) => string)[] = [
  (random) => `echo ${text(random)} ${text(random)}`,
  (random) => `printf '%s|' ${text(random)} ${text(random)}; echo`,
  (random) => `${oneOf(random, NAMES)}=${text(random)}`,
  (random) => `${oneOf(random, NAMES)}=$(echo ${text(random)}; exit ${Math.floor(random() * 4)})`,
  () => 'c=$((c + 1))',
  (random) => oneOf(random, ['true', 'false', ':']),
  (random) => `test ${text(random)} = ${text(random)}`,
  (random) => `[ -e ${oneOf(random, FILES)} ]`,
  (random) => `cat ${oneOf(random, FILES)} 2> /dev/null`,
  (random) => `rm -f ${oneOf(random, ['f', 'g', 'd/h'])}`,
  (random) =>
    `(echo ${text(random)} ${oneOf(random, ['>', '>>'])} ${oneOf(random, FILES)}) 2> /dev/null || echo refused`,
  (random) => `echo ${text(random)} 1>&2 2> /dev/null`,
  (random) => `echo ${text(random)} | tr a-z A-Z | wc -c`,
  (random) => `printf '%s\\n' ${text(random)} x ${text(random)} | sort | uniq | head -n 2`,
  (random) => `sh -c 'echo inner; exit ${Math.floor(random() * 5)}'; echo "$?"`,
  (random) => `set -- ${text(random)} ${text(random)}; echo "$# $1"`,
  (random) => `read a b <<END\n${oneOf(random, ['p q r', 'p', ''])}\nEND\necho "[$a|$b]"`,
];

/** Jobs print into files or one after the other: who is first is not for a shell to say. */
const JOBS: readonly ((random: Random) => string)[] = [
  (random) => `(exit ${Math.floor(random() * 6)}) & wait $!; echo "job $?"`,
  (random) => `echo ${text(random)} > ${oneOf(random, ['f', 'g'])} & wait`,
  (random) => `sleep 3600 & kill -s ${oneOf(random, SIGNALS)} $!; wait $! 2> /dev/null; echo "killed $?"`,
  () =>
    `sleep 3600 & kill -0 $! && echo running; kill $!; wait $! 2> /dev/null; kill -0 $! 2> /dev/null || echo gone`,
  (random) => `for n in 1 2; do echo "$n ${oneOf(random, ['x', 'y'])}" >> f & wait; done`,
  (random) =>
    `trap 'echo caught' ${oneOf(random, ['USR1', 'TERM', 'HUP'])}; kill -s ${oneOf(random, ['USR1', 'TERM', 'HUP'])} $$; echo on`,
  () => `trap 'echo "leaving $a"' EXIT`,
  () => `trap '' TERM; kill $$; echo ignored; trap - TERM`,
];

const NESTED: readonly ((random: Random, depth: number) => string)[] = [
  (random, depth) =>
    `if ${simple(random)}; then ${statement(random, depth)}; else ${statement(random, depth)}; fi`,
  (random, depth) => `for n in ${text(random)} 1 2; do ${statement(random, depth)}; done`,
  (random, depth) =>
    `i${depth}=0; while [ $i${depth} -lt ${1 + Math.floor(random() * 3)} ]; do i${depth}=$((i${depth} + 1)); ${statement(random, depth)}; done`,
  (random, depth) =>
    `i${depth}=0; until [ $i${depth} = 2 ]; do i${depth}=$((i${depth} + 1)); ${oneOf(random, ['', 'continue; ', 'break; '])}${statement(random, depth)}; done`,
  (random, depth) =>
    `case ${text(random)} in one) ${statement(random, depth)};; *w*) echo w;; *) ${statement(random, depth)};; esac`,
  (random, depth) => `( ${statement(random, depth)}; echo "sub $?")`,
  (random, depth) => `{ ${statement(random, depth)}; } > ${oneOf(random, ['f', 'g'])}`,
  (random, depth) =>
    `t() { ${statement(random, depth)}; return ${Math.floor(random() * 4)}; }; t; echo "t $?"`,
  (random, depth) => `{ ${statement(random, depth)}; } | { cat; echo "piped"; }`,
  (random, depth) => `${simple(random)} && { ${statement(random, depth)}; }`,
  (random, depth) => `! ${simple(random)} || { ${statement(random, depth)}; }`,
  (random, depth) => `a=$( ${statement(random, depth)}); echo "<$a>"`,
];

const simple = (random: Random): string =>
  oneOf(random, ['true', 'false', '[ -e f ]', '[ "$a" = x ]', 'test -n "$b"']);

function statement(random: Random, depth: number): string {
  const kind = random();
  if (depth < DEPTH && kind < 0.4) return oneOf(random, NESTED)(random, depth + 1);
  // Not inside: a job's number and a trap belong to the shell that has them.
  if (depth === 0 && kind < 0.6) return oneOf(random, JOBS)(random);
  if (depth === 0 && kind < 0.63) return `exit ${Math.floor(random() * 4)}`;
  return oneOf(random, SIMPLE)(random);
}
