//! Taking part in a group. [`member`] decides, in values only; what carries it out comes with the consumer.

pub(crate) mod member;
