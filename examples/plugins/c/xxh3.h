// XXH3, 64 bits, seed 0, the default secret, after the specification of xxHash (doc/xxhash_spec.md there). A program for C
// takes the library itself; this one shows that a component needs nothing but the compiler.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define XXH3_STRIPE 64
#define XXH3_STRIPES_OF_BLOCK 16

static const uint64_t P32_1 = 0x9e3779b1u, P32_2 = 0x85ebca77u, P32_3 = 0xc2b2ae3du;
static const uint64_t P64_1 = 0x9e3779b185ebca87u, P64_2 = 0xc2b2ae3d27d4eb4fu, P64_3 = 0x165667b19e3779f9u;
static const uint64_t P64_4 = 0x85ebca77c2b2ae63u, P64_5 = 0x27d4eb2f165667c5u;
static const uint64_t MIX_1 = 0x165667919e3779f9u, MIX_2 = 0x9fb21c651e98df25u;

static const uint8_t SECRET[192] = {
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
};

static uint64_t u64(const uint8_t *at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static uint64_t u32(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static uint64_t rotl(uint64_t value, unsigned bits) { return value << bits | value >> (64 - bits); }

// The two halves of the product, one over the other.
static uint64_t fold(uint64_t a, uint64_t b) {
  unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t mix(const uint8_t *at, size_t secret) {
  return fold(u64(at) ^ u64(SECRET + secret), u64(at + 8) ^ u64(SECRET + secret + 8));
}

static uint64_t avalanche(uint64_t hash) {
  hash = (hash ^ hash >> 37) * MIX_1;
  return hash ^ hash >> 32;
}

static uint64_t avalanche_64(uint64_t hash) {
  hash = (hash ^ hash >> 33) * P64_2;
  hash = (hash ^ hash >> 29) * P64_3;
  return hash ^ hash >> 32;
}

static uint64_t up_to_16(const uint8_t *at, size_t len) {
  if (len > 8) {
    uint64_t low = u64(at) ^ u64(SECRET + 24) ^ u64(SECRET + 32);
    uint64_t high = u64(at + len - 8) ^ u64(SECRET + 40) ^ u64(SECRET + 48);
    return avalanche(len + __builtin_bswap64(low) + high + fold(low, high));
  }
  if (len > 3) {
    uint64_t hash = (u32(at + len - 4) + (u32(at) << 32)) ^ u64(SECRET + 8) ^ u64(SECRET + 16);
    hash ^= rotl(hash, 49) ^ rotl(hash, 24);
    hash *= MIX_2;
    hash ^= (hash >> 35) + len;
    hash *= MIX_2;
    return hash ^ hash >> 28;
  }
  if (len > 0) {
    uint64_t combined = (uint64_t)at[0] << 16 | (uint64_t)at[len >> 1] << 24 | at[len - 1] | (uint64_t)len << 8;
    return avalanche_64(combined ^ u32(SECRET) ^ u32(SECRET + 4));
  }
  return avalanche_64(u64(SECRET + 56) ^ u64(SECRET + 64));
}

static uint64_t up_to_128(const uint8_t *at, size_t len) {
  uint64_t hash = len * P64_1;
  // From the outside in, one round for each 32 bytes that were begun.
  for (size_t round = (len - 1) / 32 + 1; round-- > 0;)
    hash += mix(at + 16 * round, 32 * round) + mix(at + len - 16 * (round + 1), 32 * round + 16);
  return avalanche(hash);
}

static uint64_t up_to_240(const uint8_t *at, size_t len) {
  uint64_t hash = len * P64_1;
  for (size_t i = 0; i < 8; i++) hash += mix(at + 16 * i, 16 * i);
  hash = avalanche(hash);
  for (size_t i = 8; i < len / 16; i++) hash += mix(at + 16 * i, 16 * (i - 8) + 3);
  return avalanche(hash + mix(at + len - 16, 119));
}

static void accumulate(uint64_t lanes[8], const uint8_t *at, size_t secret) {
  for (size_t lane = 0; lane < 8; lane++) {
    uint64_t value = u64(at + 8 * lane), keyed = value ^ u64(SECRET + secret + 8 * lane);
    lanes[lane ^ 1] += value;
    lanes[lane] += (keyed & 0xffffffffu) * (keyed >> 32);
  }
}

static uint64_t longer(const uint8_t *at, size_t len) {
  uint64_t lanes[8] = {P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1};
  for (size_t stripe = 0; (stripe + 1) * XXH3_STRIPE < len; stripe++) {
    size_t of_block = stripe % XXH3_STRIPES_OF_BLOCK;
    accumulate(lanes, at + stripe * XXH3_STRIPE, 8 * of_block);
    if (of_block < XXH3_STRIPES_OF_BLOCK - 1) continue;
    for (size_t lane = 0; lane < 8; lane++)
      lanes[lane] = (lanes[lane] ^ lanes[lane] >> 47 ^ u64(SECRET + 128 + 8 * lane)) * P32_1;
  }
  accumulate(lanes, at + len - XXH3_STRIPE, 121);
  uint64_t hash = len * P64_1;
  for (size_t lane = 0; lane < 8; lane += 2)
    hash += fold(lanes[lane] ^ u64(SECRET + 11 + 8 * lane), lanes[lane + 1] ^ u64(SECRET + 19 + 8 * lane));
  return avalanche(hash);
}

static uint64_t xxh3(const uint8_t *at, size_t len) {
  return len > 240 ? longer(at, len) : len > 128 ? up_to_240(at, len) : len > 16 ? up_to_128(at, len) : up_to_16(at, len);
}
