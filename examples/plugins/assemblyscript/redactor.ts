// The redactor of `examples/plugins`, in AssemblyScript: option `remove` names members of JSON objects that go, option `mask`
// those that are masked. `README.md` of the folder above says what all languages do. The interface is `producer-hooks-flat`;
// `build` gives the exports its name.

import { errText, ok, putList, putText, refuseOption, room } from "./abi";

export { cabi_realloc } from "./abi";

const SET_VALUE: u8 = 2;
const REJECT: u8 = 1;
const EDIT_BYTES: usize = 12;
const REJECTION_BYTES: usize = 12;

/// What a rejecting edit refers to, by index; `redact` answers with them negated and less one.
const NOT_JSON: i32 = -1;
const ESCAPED_NAME: i32 = -2;
const UNCHANGED: i32 = 0;

const TRUE = memory.data<u8>([0x74, 0x72, 0x75, 0x65]);
const FALSE = memory.data<u8>([0x66, 0x61, 0x6c, 0x73, 0x65]);
const NULL = memory.data<u8>([0x6e, 0x75, 0x6c, 0x6c]);
const REMOVE = memory.data<u8>([0x72, 0x65, 0x6d, 0x6f, 0x76, 0x65]);
const MASK = memory.data<u8>([0x6d, 0x61, 0x73, 0x6b]);
const MASKED = memory.data<u8>([0x22, 0x2a, 0x2a, 0x2a, 0x22]);
const MASKED_BYTES: usize = 5;
/// How many times its length a value may have afterwards: `"":7,` of 5 bytes becomes `"":"***",` of 9.
const GROWS_MAX: usize = 2;

/// What the options say: names between commas.
let removed: usize = 0;
let removedLen: usize = 0;
let masked: usize = 0;
let maskedLen: usize = 0;

/// How far the walk is, and where the value that it is over ends.
let at: usize = 0;
let end: usize = 0;
/// Where the next byte of what is put in goes.
let out: usize = 0;

export function configure(
  topic: usize, topicLen: usize, revision: u64, partitions: u32, options: usize, optionsLen: usize, answerBytesMax: u32,
): usize {
  for (let i: usize = 0; i < optionsLen; i++) {
    const option = options + 16 * i;
    const name = load<usize>(option);
    const nameLen = load<usize>(option, 4);
    if (equal(name, nameLen, REMOVE, 6)) {
      removed = load<usize>(option, 8);
      removedLen = load<usize>(option, 12);
    } else if (equal(name, nameLen, MASK, 4)) {
      masked = load<usize>(option, 8);
      maskedLen = load<usize>(option, 12);
    } else {
      return refuseOption(option, "there are remove, mask");
    }
  }
  if (hasNone(removed, removedLen) && hasNone(masked, maskedLen)) {
    return errText("there is nothing to redact: give names in option remove or mask");
  }
  return ok(0, 0);
}

export function on_send(
  hasProducerId: u32, producerId: u64, ordinal: u64, hasGuess: u32, guess: u32, count: u32, baseTimestamp: i64,
  records: usize, recordsLen: usize,
): usize {
  const edits = room(EDIT_BYTES * count);
  const bytes = room(GROWS_MAX * recordsLen);
  let made: usize = 0;
  out = bytes;
  at = records;
  for (let index: u32 = 0; index < count; index++) {
    const length = varint();
    const next = at + <usize>length;
    at += 1; // attributes
    varint(); // timestamp
    varint(); // offset
    const key = varint();
    if (key > 0) at += <usize>key;
    const value = varint();
    if (value >= 0) {
      const before = out;
      end = at + <usize>value;
      const outcome = redact();
      if (outcome <= UNCHANGED) out = before;
      if (outcome != UNCHANGED) {
        const edit = edits + EDIT_BYTES * made++;
        store<u32>(edit, index);
        store<u8>(edit, outcome > 0 ? SET_VALUE : REJECT, 4);
        store<u32>(edit, outcome > 0 ? outcome : -1 - outcome, 8);
      }
    }
    at = next;
  }
  const result = room(36);
  store<u8>(result, 0);
  putList(result + 4, edits, made);
  putList(result + 12, bytes, out - bytes);
  putList(result + 20, rejections(), 2);
  putList(result + 28, 0, 0);
  return result;
}

export function on_acknowledgement(
  hasProducerId: u32, producerId: u64, ordinal: u64, hasGuess: u32, guess: u32, count: u32, baseTimestamp: i64,
  outcomes: usize, outcomesLen: usize, runs: usize, runsLen: usize,
): void {}

export function close(): void {}

function rejections(): usize {
  const both = room(2 * REJECTION_BYTES);
  store<u32>(both, 1);
  putText(both + 4, "not JSON");
  store<u32>(both + REJECTION_BYTES, 2);
  putText(both + REJECTION_BYTES + 4, "a name with an escape");
  return both;
}

/// A number of a flat batch, which the node has checked: see `flat` in `sdk-wasm/wit/types.wit`.
function varint(): i64 {
  let zigzag: u64 = 0;
  for (let shift: u64 = 0; ; shift += 7) {
    const byte = load<u8>(at++);
    zigzag |= <u64>(byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  return <i64>(zigzag >> 1) ^ -(<i64>zigzag & 1);
}

function equal(one: usize, oneLen: usize, other: usize, otherLen: usize): bool {
  return oneLen == otherLen && memory.compare(one, other, oneLen) == 0;
}

/// Whether no name stands between the commas.
function hasNone(names: usize, len: usize): bool {
  for (let i: usize = 0; i < len; i++) {
    const byte = load<u8>(names + i);
    if (byte != 0x2c && byte != 0x20) return false;
  }
  return true;
}

/// Whether a name is one of those between the commas, which may have blanks around them.
function isOneOf(names: usize, len: usize, name: usize, nameLen: usize): bool {
  const behind = names + len;
  while (names < behind) {
    let next = names;
    while (next < behind && load<u8>(next) != 0x2c) next++;
    let last = next;
    while (names < last && load<u8>(names) == 0x20) names++;
    while (names < last && load<u8>(last - 1) == 0x20) last--;
    if (last > names && equal(names, last - names, name, nameLen)) return true;
    names = next + 1;
  }
  return false;
}

/// Writes the value without what must not be stored; answers how many bytes that are, or why there are none.
function redact(): i32 {
  let outcome = UNCHANGED;
  if (take(0x7b)) {
    outcome = members();
    if (outcome < UNCHANGED) return outcome;
  } else if (!anything()) {
    return NOT_JSON;
  }
  blanks();
  return at < end ? NOT_JSON : outcome;
}

function members(): i32 {
  const start = out;
  let changed = false;
  put(0x7b);
  let more = !take(0x7d);
  while (more) {
    blanks();
    const from = at;
    if (!text()) return NOT_JSON;
    const name = from + 1;
    const nameLen = at - 1 - name;
    for (let i: usize = 0; i < nameLen; i++) if (load<u8>(name + i) == 0x5c) return ESCAPED_NAME;
    if (!take(0x3a)) return NOT_JSON;
    blanks();
    const valueFrom = at;
    if (!anything()) return NOT_JSON;
    const isRemoved = isOneOf(removed, removedLen, name, nameLen);
    const isMasked = !isRemoved && isOneOf(masked, maskedLen, name, nameLen);
    changed = changed || isRemoved || isMasked;
    if (!isRemoved) {
      if (out > start + 1) put(0x2c);
      copy(from, (isMasked ? valueFrom : at) - from);
      if (isMasked) copy(MASKED, MASKED_BYTES);
    }
    more = take(0x2c);
    if (!more && !take(0x7d)) return NOT_JSON;
  }
  put(0x7d);
  return changed ? <i32>(out - start) : UNCHANGED;
}

function put(byte: u8): void {
  store<u8>(out++, byte);
}

function copy(from: usize, len: usize): void {
  memory.copy(out, from, len);
  out += len;
}

/// The byte that the walk is at; 0, which nothing begins with, behind the last.
function peek(): u8 {
  return at < end ? load<u8>(at) : 0;
}

function blanks(): void {
  for (let byte = peek(); byte == 0x20 || byte == 0x09 || byte == 0x0d || byte == 0x0a; byte = peek()) at++;
}

/// Passes over blanks and this byte, if it is there.
function take(byte: u8): bool {
  blanks();
  if (peek() != byte) return false;
  at++;
  return true;
}

/// Passes over a string.
function text(): bool {
  if (!take(0x22)) return false;
  while (true) {
    const byte = peek();
    if (byte == 0x22) break;
    if (byte < 0x20) return false;
    at += byte == 0x5c ? 2 : 1;
  }
  at++;
  return true;
}

/// Passes over a string, a word or number, or everything from an opening bracket to the one that closes it.
function anything(): bool {
  let depth: u32 = 0;
  do {
    if (at >= end) return false;
    const byte = load<u8>(at);
    if (byte == 0x22) {
      if (!text()) return false;
    } else if (byte == 0x7b || byte == 0x5b) {
      depth++;
      at++;
    } else if (byte == 0x7d || byte == 0x5d) {
      if (depth == 0) return false;
      depth--;
      at++;
    } else if (depth > 0) {
      at++;
    } else if (!word()) {
      return false;
    }
  } while (depth > 0);
  return true;
}

/// `true`, `false`, `null`, or what begins as a number does.
function word(): bool {
  const from = at;
  for (let byte = peek(); isOfWord(byte); byte = peek()) at++;
  const len = at - from;
  if (equal(from, len, TRUE, 4) || equal(from, len, FALSE, 5) || equal(from, len, NULL, 4)) return true;
  const first = load<u8>(from);
  return len > 0 && (first == 0x2d || (first >= 0x30 && first <= 0x39));
}

function isOfWord(byte: u8): bool {
  const letter = byte | 0x20;
  return (byte >= 0x30 && byte <= 0x39) || (letter >= 0x61 && letter <= 0x7a) || byte == 0x2b || byte == 0x2d || byte == 0x2e;
}
