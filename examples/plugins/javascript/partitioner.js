// The partitioner of `examples/plugins`, in JavaScript: a key goes to `xxh3_64(key) mod partitions`. `README.md` of the folder
// above says what all languages do.

import { xxh3 } from "./xxh3.js";

let partitions = 1n;

export const partitionerHooks = {
  configure(context) {
    for (const [name] of context.options) throw `there is no option ${name}: this plugin takes none`;
    partitions = BigInt(context.partitions);
    return [];
  },

  partition(batch, keys) {
    const unkeyed = ofUnkeyed(batch);
    return keys.map((key) => (key == null ? unkeyed : Number(xxh3(key) % partitions)));
  },

  close() {},
};

// The producer's guess, else batch by batch round the partitions.
function ofUnkeyed({ producerId, ordinal, guess }) {
  if (guess != null && guess < partitions) return guess;
  return Number(BigInt.asUintN(64, (producerId ?? 0n) + ordinal) % partitions);
}
