// What a generator would write, if there were one for AssemblyScript: how the canonical ABI of the component model hands
// arguments and results of `weir:plugin` over. Only what the two plugins need, in the flat shape; `sdk-wasm/wit` has the
// contract. A list or a text is two words: where, and how many. Memory is never given back: an instance lives for a batch.

const ALIGNED: usize = 15;

/// Where the node asks for room for arguments.
export function cabi_realloc(old: usize, oldLen: usize, alignment: usize, len: usize): usize {
  const at = room(len);
  memory.copy(at, old, min(oldLen, len));
  return at;
}

export function room(bytes: usize): usize {
  return heap.alloc((bytes + ALIGNED) & ~ALIGNED);
}

/// `result<ANSWER, string>`, whose answer is a list.
export function ok(at: usize, len: usize): usize {
  const result = room(12);
  store<u8>(result, 0);
  putList(result + 4, at, len);
  return result;
}

export function errText(text: string): usize {
  const result = room(12);
  store<u8>(result, 1);
  putText(result + 4, text);
  return result;
}

export function putList(slot: usize, at: usize, len: usize): void {
  store<usize>(slot, at);
  store<usize>(slot, len, 4);
}

export function putText(slot: usize, text: string): void {
  const len = String.UTF8.byteLength(text);
  const at = room(len);
  String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, at);
  putList(slot, at, len);
}

/// The answer of a `configure` that does not know an option.
export function refuseOption(option: usize, instead: string): usize {
  const name = String.UTF8.decodeUnsafe(load<usize>(option), load<usize>(option, 4));
  return errText("there is no option " + name + ": " + instead);
}
