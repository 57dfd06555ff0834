//! Kafka's variable-length integers: zigzag, then seven bits a byte, lowest first.

/// Takes a 64-bit number off the front; `None` if the input ends within it or it is too long.
#[inline]
pub(crate) fn take(input: &mut &[u8]) -> Option<i64> {
    let (&first, rest) = input.split_first()?;
    if first < 0x80 {
        *input = rest;
        return Some(unzigzag(u64::from(first)));
    }
    take_longer(input)
}

/// Takes a length and as many bytes; -1 is null, the inner `None`.
#[inline]
pub(crate) fn take_nullable<'a>(input: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match take(input)? {
        -1 => Some(None),
        length => take_bytes(input, length).map(Some),
    }
}

/// Takes `length` bytes off the front; `None` for a negative length too.
#[inline]
pub(crate) fn take_bytes<'a>(input: &mut &'a [u8], length: i64) -> Option<&'a [u8]> {
    let (front, rest) = input.split_at_checked(usize::try_from(length).ok()?)?;
    *input = rest;
    Some(front)
}

/// Appends a number.
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

/// Appends a length and the bytes, or -1.
pub(crate) fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put(out, -1),
        Some(bytes) => {
            put(out, i64::try_from(bytes.len()).expect("memory is smaller than 63 bits"));
            out.extend_from_slice(bytes);
        }
    }
}

fn take_longer(input: &mut &[u8]) -> Option<i64> {
    let mut value = 0;
    for (index, &byte) in input.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(u32::try_from(7 * index).ok()?)?;
        if byte < 0x80 {
            *input = &input[index + 1..];
            return Some(unzigzag(value));
        }
    }
    None
}

#[inline]
fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_taken() {
        for value in [0, -1, 1, 63, -64, 64, 150, 1 << 20, i64::from(i32::MIN), i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            bytes.push(7);
            let mut input = bytes.as_slice();
            assert_eq!(take(&mut input), Some(value));
            assert_eq!(input, [7]);
        }
    }

    #[test]
    fn bytes_are_as_protocol_buffers_have_them() {
        let mut bytes = Vec::new();
        put(&mut bytes, 150);
        put(&mut bytes, -1);
        assert_eq!(bytes, [0xac, 2, 1]);
    }

    #[test]
    fn cut_numbers_and_strings_are_refused() {
        assert_eq!(take(&mut [].as_slice()), None);
        assert_eq!(take(&mut [0x80].as_slice()), None);
        assert_eq!(take(&mut [0x80; 11].as_slice()), None);
        assert_eq!(take_nullable(&mut [4, 9].as_slice()), None);
        assert_eq!(take_nullable(&mut [3, 9].as_slice()), None, "length -2");
        assert_eq!(take_nullable(&mut [1].as_slice()), Some(None));
        assert_eq!(take_nullable(&mut [0].as_slice()), Some(Some(&[][..])));
    }
}
