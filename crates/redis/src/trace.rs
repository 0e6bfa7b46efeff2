//! The one place that knows `tracing`: without the feature the macros cost nothing.

#[cfg(feature = "tracing")]
pub(crate) use tracing::{debug, warn};

#[cfg(not(feature = "tracing"))]
macro_rules! discard {
    (target: $target:expr, $($field:ident = %$value:expr,)* $message:literal) => {{
        $(let _ = &$value;)*
    }};
}

#[cfg(not(feature = "tracing"))]
pub(crate) use {discard as debug, discard as warn};
