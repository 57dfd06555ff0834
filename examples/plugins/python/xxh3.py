"""XXH3, 64 bits, seed 0, the default secret, after the specification of xxHash (doc/xxhash_spec.md there): the packages that
have it are written in C, which a component cannot take along."""

P32_1, P32_2, P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
P64_1, P64_2, P64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P64_4, P64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
MIX_1, MIX_2 = 0x165667919E3779F9, 0x9FB21C651E98DF25
MASK = (1 << 64) - 1
STRIPE, BLOCK = 64, 1024

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)


def xxh3_64(data: bytes) -> int:
    size = len(data)
    if size > 240:
        return _long(data)
    if size > 128:
        return _up_to_240(data)
    if size > 16:
        return _up_to_128(data)
    if size > 8:
        low = _u64(data, 0) ^ _secret(24) ^ _secret(32)
        high = _u64(data, size - 8) ^ _secret(40) ^ _secret(48)
        swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
        return _avalanche(size + swapped + high + _fold(low, high))
    if size > 3:
        hash = (_u32(data, size - 4) + (_u32(data, 0) << 32)) ^ _secret(8) ^ _secret(16)
        hash ^= _rotl(hash, 49) ^ _rotl(hash, 24)
        hash = hash * MIX_2 & MASK
        hash ^= (hash >> 35) + size
        hash = hash * MIX_2 & MASK
        return hash ^ (hash >> 28)
    if size > 0:
        combined = (data[0] << 16) | (data[size >> 1] << 24) | data[-1] | (size << 8)
        return _avalanche_64(combined ^ _u32(SECRET, 0) ^ _u32(SECRET, 4))
    return _avalanche_64(_secret(56) ^ _secret(64))


def _up_to_128(data):
    size = len(data)
    hash = size * P64_1
    # From the outside in, one round for each 32 bytes that were begun.
    for turn in range((size - 1) // 32, -1, -1):
        hash += _mix(data, 16 * turn, 32 * turn) + _mix(data, size - 16 * (turn + 1), 32 * turn + 16)
    return _avalanche(hash)


def _up_to_240(data):
    size = len(data)
    hash = _avalanche(size * P64_1 + sum(_mix(data, 16 * turn, 16 * turn) for turn in range(8)))
    hash += sum(_mix(data, 16 * turn, 16 * (turn - 8) + 3) for turn in range(8, size // 16))
    return _avalanche(hash + _mix(data, size - 16, 119))


def _long(data):
    size = len(data)
    lanes = [P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1]
    for stripe in range((size - 1) // STRIPE):
        of_block = stripe % (BLOCK // STRIPE)
        _accumulate(lanes, data, stripe * STRIPE, 8 * of_block)
        if of_block == BLOCK // STRIPE - 1:
            for lane, value in enumerate(lanes):
                lanes[lane] = (value ^ (value >> 47) ^ _secret(128 + 8 * lane)) * P32_1 & MASK
    _accumulate(lanes, data, size - STRIPE, 121)
    hash = size * P64_1
    for lane in range(0, 8, 2):
        hash += _fold(lanes[lane] ^ _secret(11 + 8 * lane), lanes[lane + 1] ^ _secret(19 + 8 * lane))
    return _avalanche(hash)


def _accumulate(lanes, data, at, secret_at):
    for lane in range(8):
        value = _u64(data, at + 8 * lane)
        keyed = value ^ _secret(secret_at + 8 * lane)
        lanes[lane ^ 1] = (lanes[lane ^ 1] + value) & MASK
        lanes[lane] = (lanes[lane] + (keyed & 0xFFFFFFFF) * (keyed >> 32)) & MASK


def _mix(data, at, secret_at):
    return _fold(_u64(data, at) ^ _secret(secret_at), _u64(data, at + 8) ^ _secret(secret_at + 8))


def _fold(a, b):
    """The two halves of the product, one over the other."""
    product = a * b
    return (product ^ (product >> 64)) & MASK


def _avalanche(hash):
    hash &= MASK
    hash = (hash ^ (hash >> 37)) * MIX_1 & MASK
    return hash ^ (hash >> 32)


def _avalanche_64(hash):
    hash = (hash ^ (hash >> 33)) * P64_2 & MASK
    hash = (hash ^ (hash >> 29)) * P64_3 & MASK
    return hash ^ (hash >> 32)


def _rotl(value, bits):
    return (value << bits | value >> (64 - bits)) & MASK


def _u32(data, at):
    return int.from_bytes(data[at : at + 4], "little")


def _u64(data, at):
    return int.from_bytes(data[at : at + 8], "little")


def _secret(at):
    return int.from_bytes(SECRET[at : at + 8], "little")
