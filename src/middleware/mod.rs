//! The layer, and the responses that it writes.

mod bearer;
mod body;
mod future;
mod layer;
mod redirect;
mod reject;
mod rejection;
mod require;
mod service;
mod unproven;

pub use self::{
    body::{IntoRejectionResponse, RejectionBody, ResponseBody},
    future::ResponseFuture,
    layer::SessionLayer,
    redirect::{RedirectToLogin, RedirectToReauthentication, safe_next},
    reject::{ProblemJson, Reject},
    rejection::Rejection,
    require::Require,
    service::SessionService,
};
pub use crate::rejection::RejectionKind;
