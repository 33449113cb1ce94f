//! The layer, and what it answers itself.

mod bearer;
mod body;
mod future;
mod layer;
mod redirect;
mod rejection;
mod require;
mod service;

pub use self::{
    body::{IntoRejectionResponse, RejectionBody, ResponseBody},
    future::ResponseFuture,
    layer::SessionLayer,
    redirect::{RedirectToLogin, safe_next},
    rejection::{ProblemJson, Reject, RejectWith, Rejection, RejectionKind},
    require::{Require, RequireFuture, RequireService},
    service::SessionService,
};
