//! What a plugin may take, with defaults and figures that errors name.

use std::time::Duration;

/// The largest component that a node takes.
pub const COMPONENT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The most code that one function of a component may have. A compiler takes a function as a whole, and its time and memory
/// grow faster than the function does. The largest of a Python component has 427 kB, that of a JavaScript one 172 kB.
pub(super) const FUNCTION_BYTES_MAX: usize = 1024 * 1024;
/// The most memory that any binding may be given: the size of a slot in the pool.
pub(super) const MEMORY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The most memory that all instances of a binding may be given together.
pub(super) const MEMORY_SHARE_BYTES_MAX: usize = 16 * 1024 * 1024 * 1024;
/// The most table elements that any binding may be given: the size of a slot in the pool.
pub(super) const TABLE_ELEMENTS_MAX: usize = 32 * 1024;
/// The longest time that any binding may be given for a call.
pub(super) const CALL_TIME_MAX: Duration = Duration::from_secs(10);
/// The stack of guest code, the same for all: it is set where code is compiled.
pub(super) const STACK_BYTES: usize = 256 * 1024;
/// The most options of a binding, and the longest name and value of one.
pub(super) const OPTIONS_MAX: usize = 64;
/// See [`OPTIONS_MAX`].
pub(super) const OPTION_NAME_BYTES_MAX: usize = 64;
/// See [`OPTIONS_MAX`].
pub(super) const OPTION_VALUE_BYTES_MAX: usize = 4096;

/// The limits of one binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most linear memory of one instance.
    pub memory_bytes: usize,
    /// The longest that one call may run. Time in which the plugin was set aside for others does not count.
    pub call_time: Duration,
    /// The most bytes that one answer may hold.
    pub answer_bytes: u32,
    /// The most elements of an instance's tables.
    pub table_elements: usize,
    /// How many calls may run at a time on one node. Fewer while the plugin fails.
    pub calls: u32,
    /// The most memory that all its instances on a node may have together. Calls wait for it.
    pub memory_share_bytes: usize,
    /// How much of a node's time its calls may take in the long run, in percent of all cores. Calls above it wait.
    pub time_share_percent: u32,
}

impl Default for Limits {
    /// Enough for code without a language runtime and for batches of the default size; a language runtime that is
    /// brought along wants more memory.
    fn default() -> Limits {
        Limits {
            memory_bytes: 32 * 1024 * 1024,
            call_time: Duration::from_millis(100),
            answer_bytes: 8 * 1024 * 1024,
            table_elements: 10_000,
            calls: 16,
            memory_share_bytes: 256 * 1024 * 1024,
            time_share_percent: 50,
        }
    }
}

impl Limits {
    /// Sets a limit by its name, as a binding names it.
    ///
    /// # Errors
    /// What names there are, or what the value must be.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number = |max: usize| match value.parse::<usize>() {
            Ok(number) if (1..=max).contains(&number) => Ok(number),
            _ => Err(format!("limit '{name}' is a number from 1 to {max}, not '{value}'")),
        };
        match name {
            "memory.bytes" => self.memory_bytes = number(MEMORY_BYTES_MAX)?,
            "call.time.ms" => {
                let max = usize::try_from(CALL_TIME_MAX.as_millis()).unwrap_or(usize::MAX);
                self.call_time = Duration::from_millis(number(max)? as u64);
            }
            "answer.bytes" => {
                self.answer_bytes = u32::try_from(number(MEMORY_BYTES_MAX)?).unwrap_or(u32::MAX);
            }
            "table.elements" => self.table_elements = number(TABLE_ELEMENTS_MAX)?,
            "memory.share.bytes" => self.memory_share_bytes = number(MEMORY_SHARE_BYTES_MAX)?,
            "time.share.percent" => {
                self.time_share_percent = u32::try_from(number(100)?).unwrap_or(100);
            }
            "calls" => self.calls = u32::try_from(number(1024)?).unwrap_or(u32::MAX),
            _ => {
                return Err(format!(
                    "there is no limit '{name}'; there are memory.bytes, call.time.ms, answer.bytes, \
                     table.elements, calls, memory.share.bytes and time.share.percent"
                ));
            }
        }
        Ok(())
    }
}

/// Checks the options of a binding against the contract.
///
/// # Errors
/// Which option breaks which rule.
pub(super) fn check_options(options: &[(String, String)]) -> Result<(), String> {
    if options.len() > OPTIONS_MAX {
        return Err(format!("a binding has at most {OPTIONS_MAX} options, not {}", options.len()));
    }
    for (at, (name, value)) in options.iter().enumerate() {
        if name.is_empty() || name.len() > OPTION_NAME_BYTES_MAX {
            return Err(format!("an option's name has 1 to {OPTION_NAME_BYTES_MAX} bytes: '{name}'"));
        }
        if value.len() > OPTION_VALUE_BYTES_MAX {
            let bytes = value.len();
            return Err(format!(
                "the value of option '{name}' has {bytes} bytes, at most {OPTION_VALUE_BYTES_MAX} are allowed"
            ));
        }
        if options[..at].iter().any(|(before, _)| before == name) {
            return Err(format!("option '{name}' is given twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_names_and_ranges() {
        let mut limits = Limits::default();
        limits.set("memory.bytes", "65536").unwrap();
        limits.set("call.time.ms", "7").unwrap();
        assert_eq!((limits.memory_bytes, limits.call_time), (65536, Duration::from_millis(7)));
        assert_eq!(
            limits.set("call.time.ms", "10001").unwrap_err(),
            "limit 'call.time.ms' is a number from 1 to 10000, not '10001'"
        );
        assert!(limits.set("memory", "1").unwrap_err().starts_with("there is no limit 'memory'; there are"));
    }

    #[test]
    fn options_keep_to_the_contract() {
        let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(check_options(&[option("a", ""), option("b", "x")]), Ok(()));
        assert_eq!(
            check_options(&[option("a", ""), option("a", "x")]).unwrap_err(),
            "option 'a' is given twice"
        );
        let long = check_options(&[option("a", &"x".repeat(4097))]).unwrap_err();
        assert_eq!(long, "the value of option 'a' has 4097 bytes, at most 4096 are allowed");
        let many: Vec<_> = (0..65).map(|n| option(&n.to_string(), "")).collect();
        assert!(check_options(&many).unwrap_err().contains("at most 64"));
    }
}
