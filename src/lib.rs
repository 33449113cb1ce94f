//! Sliding sessions.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::indexing_slicing))]

mod id;
pub mod protocol;
mod time;

pub use self::{
    id::{EntropyError, ParseIdError, RunId, SessionId, SessionTag},
    time::{Clock, ManualClock, SystemClock, Timestamp},
};
