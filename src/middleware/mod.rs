//! The layer, and the responses that it writes. A request enters at `SessionService::call`, in `service`.

mod body;
mod layer;
mod redirect;
mod reject;
mod rejection;
mod require;
mod service;
mod unproven;

pub use self::{
    body::{IntoRejectionResponse, RejectionBody, ResponseBody},
    layer::SessionLayer,
    redirect::{RedirectToLogin, RedirectToReauthentication, safe_next},
    reject::{ProblemJson, Reject},
    rejection::Rejection,
    require::Require,
    service::{ResponseFuture, SessionService},
};
pub use crate::rejection::RejectionKind;
