//! An alarm that one thread waits for and any may set: setting it for later wakes nobody.

#[cfg(any(test, not(target_os = "linux")))]
mod portable;
#[cfg(target_os = "linux")]
mod timer;

#[cfg(not(target_os = "linux"))]
pub(super) use self::portable::Alarm;
#[cfg(target_os = "linux")]
pub(super) use self::timer::Alarm;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    /// Long enough that a test which waits for it fails.
    const NEVER: Duration = Duration::from_secs(3600);
    const SOON: Duration = Duration::from_millis(1);

    macro_rules! of {
        ($name:ident, $alarm:ty) => {
            mod $name {
                use super::*;

                #[test]
                fn it_rings_once_each_time_that_it_is_set() {
                    let alarm = <$alarm>::new().unwrap();
                    for _ in 0..3 {
                        alarm.set(SOON);
                        alarm.wait();
                    }
                }

                #[test]
                fn set_anew_it_rings_then() {
                    let alarm = <$alarm>::new().unwrap();
                    alarm.set(NEVER);
                    alarm.set(SOON);
                    alarm.wait();
                }

                #[test]
                fn who_waits_already_hears_of_an_earlier_time() {
                    let alarm = <$alarm>::new().unwrap();
                    let (waits, waiting) = mpsc::channel();
                    std::thread::scope(|scope| {
                        let waiter = scope.spawn(|| {
                            alarm.wait();
                            waits.send(()).unwrap();
                            alarm.wait();
                        });
                        alarm.set(SOON);
                        waiting.recv().unwrap();
                        // Now it waits for the second one, or is about to.
                        alarm.set(NEVER);
                        alarm.set(SOON);
                        waiter.join().unwrap();
                    });
                }
            }
        };
    }

    #[cfg(target_os = "linux")]
    of!(timer, super::super::timer::Alarm);
    of!(portable, super::super::portable::Alarm);
}
