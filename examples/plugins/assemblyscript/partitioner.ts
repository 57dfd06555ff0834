// The partitioner of `examples/plugins`, in AssemblyScript: a key goes to `xxh3_64(key) mod partitions`. `README.md` of the
// folder above says what all languages do. The interface is `partitioner-hooks-flat`; `build` gives the exports its name.

import { ok, refuseOption, room } from "./abi";
import { xxh3 } from "./xxh3";

export { cabi_realloc } from "./abi";

let partitions: u32 = 1;

export function configure(
  topic: usize, topicLen: usize, revision: u64, count: u32, options: usize, optionsLen: usize, answerBytesMax: u32,
): usize {
  partitions = count;
  return optionsLen == 0 ? ok(0, 0) : refuseOption(options, "this plugin takes none");
}

export function partition(
  hasProducerId: u32, producerId: u64, ordinal: u64, hasGuess: u32, guess: u32, count: u32, baseTimestamp: i64,
  keys: usize, keysLen: usize, lengths: usize, lengthsLen: usize,
): usize {
  // Without a key: the producer's guess, else batch by batch round the partitions.
  const turn = (hasProducerId ? producerId : 0) + ordinal;
  const unkeyed = hasGuess && guess < partitions ? guess : <u32>(turn % partitions);
  const placed = room(4 * lengthsLen);
  for (let i: usize = 0; i < lengthsLen; i++) {
    const length = load<i32>(lengths + 4 * i);
    if (length < 0) {
      store<u32>(placed + 4 * i, unkeyed);
    } else {
      store<u32>(placed + 4 * i, <u32>(xxh3(keys, length) % partitions));
      keys += length;
    }
  }
  return ok(placed, lengthsLen);
}

export function close(): void {}
