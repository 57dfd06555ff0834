//! Every command moves the index by one, and a refused one changes nothing else: who was refused may rely on it.

use weir_core::metadata::Image;
use weir_wire::ids::MetadataIndex;

use super::Step;

pub(super) fn check(step: &Step<'_>) -> Result<(), String> {
    if step.after.index != MetadataIndex(step.before.index.0 + 1) {
        return Err("the index does not count".into());
    }
    let same = || *step.before == Image { index: step.before.index, ..step.after.clone() };
    if step.result.is_err() && !same() {
        return Err("a refused command changed the image".into());
    }
    Ok(())
}
