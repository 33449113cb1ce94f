//! The layer, and what it answers itself.

mod bearer;
mod future;
mod layer;
mod redirect;
mod rejection;
mod require;
mod service;

pub use self::{
    future::ResponseFuture,
    layer::SessionLayer,
    redirect::{RedirectToLogin, safe_next},
    rejection::{ProblemJson, Reject, Rejection, RejectionKind},
    require::{Require, RequireFuture, RequireService},
    service::SessionService,
};
