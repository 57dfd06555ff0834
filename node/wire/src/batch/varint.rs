//! Kafka's variable-length integers: zigzag, then seven bits a byte, the lowest first (the encoding of Protocol
//! Buffers). And the byte strings whose lengths they are.

/// The longest encoding of a 32-bit number.
const INT_BYTES_MAX: usize = 5;
/// The longest encoding of a 64-bit number.
const LONG_BYTES_MAX: usize = 10;

/// Takes a 32-bit number off the front; `None` if it is cut short or does not fit.
#[inline]
pub(super) fn take_int(input: &mut &[u8]) -> Option<i32> {
    let zigzag = u32::try_from(take_raw(input, INT_BYTES_MAX)?).ok()?;
    Some((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
}

/// Takes a 64-bit number off the front; `None` if it is cut short or does not fit.
#[inline]
pub(super) fn take_long(input: &mut &[u8]) -> Option<i64> {
    let zigzag = take_raw(input, LONG_BYTES_MAX)?;
    Some((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
}

/// Takes a number that counts something: `None` also if it is negative.
#[inline]
pub(super) fn take_count(input: &mut &[u8]) -> Option<u32> {
    u32::try_from(take_int(input)?).ok()
}

/// Takes `count` bytes off the front.
#[inline]
pub(super) fn take_bytes<'a>(input: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (front, rest) = input.split_at_checked(count)?;
    *input = rest;
    Some(front)
}

/// Takes a length and as many bytes; length -1 is the null string, any other negative one is wrong.
#[inline]
#[expect(clippy::option_option, reason = "the outer one is malformed, the inner one is null")]
pub(super) fn take_nullable<'a>(input: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match take_int(input)? {
        -1 => Some(None),
        length => take_bytes(input, usize::try_from(length).ok()?).map(Some),
    }
}

#[inline]
fn take_raw(input: &mut &[u8], bytes_max: usize) -> Option<u64> {
    let (&first, rest) = input.split_first()?;
    if first < 0x80 {
        *input = rest;
        return Some(u64::from(first));
    }
    take_raw_long(input, bytes_max)
}

fn take_raw_long(input: &mut &[u8], bytes_max: usize) -> Option<u64> {
    let mut value = 0;
    for (index, &byte) in input.iter().take(bytes_max).enumerate() {
        let bits = u64::from(byte & 0x7f);
        let shifted = bits << (7 * index);
        if shifted >> (7 * index) != bits {
            return None;
        }
        value |= shifted;
        if byte < 0x80 {
            *input = &input[index + 1..];
            return Some(value);
        }
    }
    None
}

/// How many bytes [`put_long`] writes for this number; the same for a 32-bit number as for its 64-bit self.
#[inline]
pub(super) fn long_bytes(value: i64) -> usize {
    let significant_bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    significant_bits.div_ceil(7)
}

/// Writes a number; a 32-bit number is written the same as its 64-bit self.
#[inline]
pub(super) fn put_long(out: &mut impl bytes::BufMut, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.put_u8(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest.to_le_bytes()[0]);
}

/// How many bytes [`put_length`] writes.
#[inline]
pub(super) fn length_bytes(length: usize) -> usize {
    long_bytes(signed(length))
}

/// Writes a length or count. (That it fits 32 bits is asserted of the whole batch.)
#[inline]
pub(super) fn put_length(out: &mut impl bytes::BufMut, length: usize) {
    put_long(out, signed(length));
}

/// Writes a length and as many bytes; length -1 is the null string.
#[inline]
pub(super) fn put_nullable(out: &mut impl bytes::BufMut, bytes: Option<&[u8]>) {
    match bytes {
        None => put_long(out, -1),
        Some(bytes) => {
            put_length(out, bytes.len());
            out.put_slice(bytes);
        }
    }
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).expect("what lies in memory is shorter than 2^63 bytes")
}

#[inline]
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn put(value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        put_long(&mut out, value);
        out
    }

    #[test]
    fn small_numbers_of_either_sign_take_one_byte() {
        assert_eq!(put(0), [0]);
        assert_eq!(put(-1), [1]);
        assert_eq!(put(63), [126]);
        assert_eq!(put(-64), [127]);
        assert_eq!(put(64), [0x80, 1]);
        assert_eq!(put(150), [0xac, 2]);
    }

    #[test]
    fn the_extremes_fit_and_one_bit_more_does_not() {
        for value in [i64::MIN, i64::MAX, i64::from(i32::MIN), i64::from(i32::MAX)] {
            let bytes = put(value);
            assert_eq!(take_long(&mut bytes.as_slice()), Some(value));
            assert_eq!(take_int(&mut bytes.as_slice()), i32::try_from(value).ok());
        }
        let over_long = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(take_long(&mut over_long.as_slice()), None);
        let over_int = [0xff, 0xff, 0xff, 0xff, 0x10];
        assert_eq!(take_int(&mut over_int.as_slice()), None);
        let endless = [0x80; 11];
        assert_eq!(take_long(&mut endless.as_slice()), None);
        assert_eq!(take_int(&mut endless.as_slice()), None);
    }

    #[test]
    fn a_cut_number_or_string_is_refused_and_a_null_is_not_an_empty_one() {
        assert_eq!(take_long(&mut [].as_slice()), None);
        assert_eq!(take_long(&mut [0x80].as_slice()), None);
        assert_eq!(take_nullable(&mut [1].as_slice()), Some(None));
        assert_eq!(take_nullable(&mut [0].as_slice()), Some(Some(&[][..])));
        assert_eq!(take_nullable(&mut [4, 9].as_slice()), None);
        assert_eq!(take_nullable(&mut [3, 9].as_slice()), None, "length -2");
        assert_eq!(take_count(&mut [1].as_slice()), None, "count -1");
    }

    proptest! {
        #[test]
        fn what_is_put_is_taken_and_has_the_size_foretold(value: i64, after: Vec<u8>) {
            let mut bytes = put(value);
            prop_assert_eq!(bytes.len(), long_bytes(value));
            bytes.extend_from_slice(&after);
            let mut input = bytes.as_slice();
            prop_assert_eq!(take_long(&mut input), Some(value));
            prop_assert_eq!(input, after.as_slice());
        }
    }
}
