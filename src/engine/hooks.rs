//! Calls of the application's hooks. A panic in one is an event, and ends nothing but the call.

use std::{error::Error, future::poll_fn, sync::Arc, task::Poll};

use super::Engine;
use crate::{
    claims::{Claims, Reload, Reloader},
    event::{EventKind, HookPanic, caught},
    origin::OriginVerdict,
    request::RequestHead,
    store::SessionRecord,
};

/// What the claims hook failed with.
pub(super) type ReloadError = Box<dyn Error + Send + Sync>;

impl<C> Engine<C> {
    /// Where a request comes from, for the record.
    pub(crate) fn origin_of(&self, request: &RequestHead<'_>) -> Option<Arc<str>> {
        self.config.events.call("origin", || self.config.origins.of(request)).flatten()
    }

    /// The same, if it is going to be compared.
    pub(crate) fn origin_to_compare(&self, request: &RequestHead<'_>) -> Option<Arc<str>> {
        if !self.config.origins.are_compared() {
            return None;
        }
        self.config.events.call("origin", || self.config.origins.to_compare(request)).flatten()
    }

    /// None if the hook panicked: then it is not known whether the request may be served.
    pub(super) fn compare_origin(&self, record: &SessionRecord, here: Option<&str>) -> Option<OriginVerdict> {
        self.config.events.call("compare_origin", || self.config.origins.judge(record, here))
    }
}

impl<C: Claims> Engine<C> {
    /// Asks the claims hook, for no longer than a store may take.
    pub(super) async fn ask_hook(
        &self,
        reloader: &Reloader<C>,
        subject: &Arc<str>,
        claims: Option<C>,
    ) -> Result<Reload<C>, ReloadError> {
        let panicked = |panic: HookPanic| -> ReloadError {
            self.config.events.failed(EventKind::HookPanicked { hook: "reload_claims" }, &panic);
            panic.into()
        };
        let mut reloading = caught(|| reloader.reload(subject.clone(), claims)).map_err(panicked)?;
        let answer = poll_fn(|cx| match caught(|| reloading.as_mut().poll(cx)) {
            Ok(Poll::Ready(answer)) => Poll::Ready(Ok(answer)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => Poll::Ready(Err(panic)),
        });
        let late = || format!("no answer within {:?}", self.config.store_deadline);
        self.in_time(answer).await.ok_or_else(late)?.map_err(panicked)?
    }
}
