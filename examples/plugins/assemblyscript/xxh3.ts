// XXH3, 64 bits, seed 0, the default secret, after the specification of xxHash (doc/xxhash_spec.md there): AssemblyScript's
// own library has no hash of this kind.

const P32_1: u64 = 0x9e3779b1;
const P32_2: u64 = 0x85ebca77;
const P32_3: u64 = 0xc2b2ae3d;
const P64_1: u64 = 0x9e3779b185ebca87;
const P64_2: u64 = 0xc2b2ae3d27d4eb4f;
const P64_3: u64 = 0x165667b19e3779f9;
const P64_4: u64 = 0x85ebca77c2b2ae63;
const P64_5: u64 = 0x27d4eb2f165667c5;
const MIX_1: u64 = 0x165667919e3779f9;
const MIX_2: u64 = 0x9fb21c651e98df25;

const STRIPE: usize = 64;
const BLOCK: usize = 1024;

const SECRET = memory.data<u8>([
  0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c, 0xde, 0xd4, 0x6d, 0xe9,
  0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f, 0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78,
  0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21, 0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6,
  0x81, 0x3a, 0x26, 0x4c, 0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
  0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8, 0xa8, 0xfa, 0x76, 0x3f,
  0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d, 0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31,
  0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64, 0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff,
  0xfa, 0x13, 0x63, 0xeb, 0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
  0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce, 0x45, 0xcb, 0x3a, 0x8f,
  0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
]);

const ACCUMULATORS = memory.data(64, 8);

export function xxh3(at: usize, len: usize): u64 {
  if (len > 240) return long(at, len);
  if (len > 128) return upTo240(at, len);
  if (len > 16) return upTo128(at, len);
  if (len > 8) return upTo16(at, len);
  if (len > 3) return upTo8(at, len);
  if (len > 0) return upTo3(at, len);
  return avalanche64(secret(56) ^ secret(64));
}

function upTo3(at: usize, len: usize): u64 {
  const first = <u64>load<u8>(at);
  const middle = <u64>load<u8>(at + (len >> 1));
  const last = <u64>load<u8>(at + len - 1);
  const combined = (first << 16) | (middle << 24) | last | (<u64>len << 8);
  return avalanche64(combined ^ <u64>(load<u32>(SECRET) ^ load<u32>(SECRET + 4)));
}

function upTo8(at: usize, len: usize): u64 {
  const combined = <u64>load<u32>(at + len - 4) + (<u64>load<u32>(at) << 32);
  let hash = combined ^ secret(8) ^ secret(16);
  hash ^= rotl(hash, 49) ^ rotl(hash, 24);
  hash *= MIX_2;
  hash ^= (hash >> 35) + <u64>len;
  hash *= MIX_2;
  return hash ^ (hash >> 28);
}

function upTo16(at: usize, len: usize): u64 {
  const low = load<u64>(at) ^ secret(24) ^ secret(32);
  const high = load<u64>(at + len - 8) ^ secret(40) ^ secret(48);
  return avalanche(<u64>len + bswap(low) + high + fold(low, high));
}

function upTo128(at: usize, len: usize): u64 {
  let hash = <u64>len * P64_1;
  // From the outside in, one round for each 32 bytes that were begun.
  for (let round: usize = (len - 1) >> 5; ; round--) {
    hash += mix(at + 16 * round, 32 * round) + mix(at + len - 16 * (round + 1), 32 * round + 16);
    if (round == 0) break;
  }
  return avalanche(hash);
}

function upTo240(at: usize, len: usize): u64 {
  let hash = <u64>len * P64_1;
  for (let i: usize = 0; i < 8; i++) hash += mix(at + 16 * i, 16 * i);
  hash = avalanche(hash);
  for (let i: usize = 8; i < len >> 4; i++) hash += mix(at + 16 * i, 16 * (i - 8) + 3);
  return avalanche(hash + mix(at + len - 16, 119));
}

function long(at: usize, len: usize): u64 {
  const starts = StaticArray.fromArray<u64>([P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1]);
  for (let lane = 0; lane < 8; lane++) store<u64>(ACCUMULATORS + 8 * lane, starts[lane]);
  for (let stripe: usize = 0; (stripe + 1) * STRIPE < len; stripe++) {
    const ofBlock = stripe % (BLOCK / STRIPE);
    accumulate(at + stripe * STRIPE, 8 * ofBlock);
    if (ofBlock == BLOCK / STRIPE - 1) scramble();
  }
  accumulate(at + len - STRIPE, 121);
  let hash = <u64>len * P64_1;
  for (let pair: usize = 0; pair < 4; pair++) {
    const lanes = ACCUMULATORS + 16 * pair;
    hash += fold(load<u64>(lanes) ^ secret(11 + 16 * pair), load<u64>(lanes, 8) ^ secret(19 + 16 * pair));
  }
  return avalanche(hash);
}

function accumulate(at: usize, secretAt: usize): void {
  for (let lane: usize = 0; lane < 8; lane++) {
    const data = load<u64>(at + 8 * lane);
    const keyed = data ^ secret(secretAt + 8 * lane);
    const own = ACCUMULATORS + 8 * lane;
    const other = ACCUMULATORS + 8 * (lane ^ 1);
    store<u64>(other, load<u64>(other) + data);
    store<u64>(own, load<u64>(own) + (keyed & 0xffffffff) * (keyed >> 32));
  }
}

function scramble(): void {
  for (let lane: usize = 0; lane < 8; lane++) {
    const own = ACCUMULATORS + 8 * lane;
    const value = load<u64>(own);
    store<u64>(own, (value ^ (value >> 47) ^ secret(128 + 8 * lane)) * P32_1);
  }
}

function mix(at: usize, secretAt: usize): u64 {
  return fold(load<u64>(at) ^ secret(secretAt), load<u64>(at, 8) ^ secret(secretAt + 8));
}

/// The two halves of the product, one over the other.
function fold(a: u64, b: u64): u64 {
  const low = (a & 0xffffffff) * (b & 0xffffffff);
  const crossed = (a >> 32) * (b & 0xffffffff) + (low >> 32);
  const middle = (crossed & 0xffffffff) + (a & 0xffffffff) * (b >> 32);
  const high = (a >> 32) * (b >> 32) + (crossed >> 32) + (middle >> 32);
  return high ^ ((middle << 32) | (low & 0xffffffff));
}

function avalanche(value: u64): u64 {
  let hash = (value ^ (value >> 37)) * MIX_1;
  return hash ^ (hash >> 32);
}

function avalanche64(value: u64): u64 {
  let hash = (value ^ (value >> 33)) * P64_2;
  hash = (hash ^ (hash >> 29)) * P64_3;
  return hash ^ (hash >> 32);
}

function secret(at: usize): u64 {
  return load<u64>(SECRET + at);
}
