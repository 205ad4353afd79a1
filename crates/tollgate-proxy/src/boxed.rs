//! Large futures in a box, built where they stay. `Box::pin` builds them on the stack and copies them: kilobytes, of which few are in use.

use std::pin::Pin;

/// The future that is made, in a box.
#[inline]
pub(crate) fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    // The place comes first: between making and writing nothing can fail, so that what is made need not stand anywhere else.
    let place = Box::new_uninit();
    Box::into_pin(Box::write(place, make()))
}
