// XXH3, 64 bits, seed 0, the default secret, after the specification of xxHash (doc/xxhash_spec.md there). 64-bit numbers are
// BigInts, which is what makes it slow.

const P32_1 = 0x9e3779b1n, P32_2 = 0x85ebca77n, P32_3 = 0xc2b2ae3dn;
const P64_1 = 0x9e3779b185ebca87n, P64_2 = 0xc2b2ae3d27d4eb4fn, P64_3 = 0x165667b19e3779f9n;
const P64_4 = 0x85ebca77c2b2ae63n, P64_5 = 0x27d4eb2f165667c5n;
const MIX_1 = 0x165667919e3779f9n, MIX_2 = 0x9fb21c651e98df25n;
const MASK = (1n << 64n) - 1n;
const STRIPE = 64, STRIPES_OF_BLOCK = 16;

const SECRET_TEXT =
  "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221" +
  "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8" +
  "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb" +
  "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e";
const SECRET = view(Uint8Array.from(SECRET_TEXT.match(/../g), (digits) => parseInt(digits, 16)));

export function xxh3(bytes) {
  const data = view(bytes);
  const size = bytes.length;
  if (size > 240) return long(data, size);
  if (size > 128) return upTo240(data, size);
  if (size > 16) return upTo128(data, size);
  if (size > 8) {
    const low = u64(data, 0) ^ secret(24) ^ secret(32);
    const high = u64(data, size - 8) ^ secret(40) ^ secret(48);
    return avalanche(BigInt(size) + swap(low) + high + fold(low, high));
  }
  if (size > 3) {
    const combined = u32(data, size - 4) + (u32(data, 0) << 32n);
    let hash = combined ^ secret(8) ^ secret(16);
    hash ^= rotl(hash, 49n) ^ rotl(hash, 24n);
    hash = (hash * MIX_2) & MASK;
    hash ^= (hash >> 35n) + BigInt(size);
    hash = (hash * MIX_2) & MASK;
    return hash ^ (hash >> 28n);
  }
  if (size > 0) {
    const combined = (bytes[0] << 16) | (bytes[size >> 1] << 24) | bytes[size - 1] | (size << 8);
    return avalanche64(BigInt(combined >>> 0) ^ u32(SECRET, 0) ^ u32(SECRET, 4));
  }
  return avalanche64(secret(56) ^ secret(64));
}

function upTo128(data, size) {
  let hash = BigInt(size) * P64_1;
  // From the outside in, one round for each 32 bytes that were begun.
  for (let round = (size - 1) >> 5; round >= 0; round--) {
    hash += mix(data, 16 * round, 32 * round) + mix(data, size - 16 * (round + 1), 32 * round + 16);
  }
  return avalanche(hash);
}

function upTo240(data, size) {
  let hash = BigInt(size) * P64_1;
  for (let round = 0; round < 8; round++) hash += mix(data, 16 * round, 16 * round);
  hash = avalanche(hash);
  for (let round = 8; round < size >> 4; round++) hash += mix(data, 16 * round, 16 * (round - 8) + 3);
  return avalanche(hash + mix(data, size - 16, 119));
}

function long(data, size) {
  const lanes = [P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1];
  for (let stripe = 0; (stripe + 1) * STRIPE < size; stripe++) {
    const ofBlock = stripe % STRIPES_OF_BLOCK;
    accumulate(lanes, data, stripe * STRIPE, 8 * ofBlock);
    if (ofBlock === STRIPES_OF_BLOCK - 1) {
      for (let lane = 0; lane < 8; lane++) {
        const value = lanes[lane];
        lanes[lane] = ((value ^ (value >> 47n) ^ secret(128 + 8 * lane)) * P32_1) & MASK;
      }
    }
  }
  accumulate(lanes, data, size - STRIPE, 121);
  let hash = BigInt(size) * P64_1;
  for (let lane = 0; lane < 8; lane += 2) {
    hash += fold(lanes[lane] ^ secret(11 + 8 * lane), lanes[lane + 1] ^ secret(19 + 8 * lane));
  }
  return avalanche(hash);
}

function accumulate(lanes, data, at, secretAt) {
  for (let lane = 0; lane < 8; lane++) {
    const value = u64(data, at + 8 * lane);
    const keyed = value ^ secret(secretAt + 8 * lane);
    lanes[lane ^ 1] = (lanes[lane ^ 1] + value) & MASK;
    lanes[lane] = (lanes[lane] + (keyed & 0xffffffffn) * (keyed >> 32n)) & MASK;
  }
}

function mix(data, at, secretAt) {
  return fold(u64(data, at) ^ secret(secretAt), u64(data, at + 8) ^ secret(secretAt + 8));
}

// The two halves of the product, one over the other.
function fold(a, b) {
  const product = a * b;
  return (product ^ (product >> 64n)) & MASK;
}

function avalanche(value) {
  let hash = value & MASK;
  hash = ((hash ^ (hash >> 37n)) * MIX_1) & MASK;
  return hash ^ (hash >> 32n);
}

function avalanche64(value) {
  let hash = ((value ^ (value >> 33n)) * P64_2) & MASK;
  hash = ((hash ^ (hash >> 29n)) * P64_3) & MASK;
  return hash ^ (hash >> 32n);
}

function swap(value) {
  const bytes = new DataView(new ArrayBuffer(8));
  bytes.setBigUint64(0, value, true);
  return bytes.getBigUint64(0, false);
}

function rotl(value, bits) {
  return ((value << bits) | (value >> (64n - bits))) & MASK;
}

function view(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function u32(data, at) {
  return BigInt(data.getUint32(at, true));
}

function u64(data, at) {
  return data.getBigUint64(at, true);
}

function secret(at) {
  return SECRET.getBigUint64(at, true);
}
