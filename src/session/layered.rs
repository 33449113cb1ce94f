//! The results of the session layers around a handler: one result for each realm.

use std::{
    any::type_name,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use http::Extensions;

use super::Session;
use crate::{claims::Claims, engine::EngineId};

/// The result of a session layer: a session, or no session. The layer adds its result to the extensions of the request.
///
/// A request has one `Layered` for each claims type. If layers of several realms with the same claims type are nested,
/// the `Layered` of the innermost layer also has the results of the outer layers.
pub(crate) struct Layered<C> {
    realm: EngineId,
    /// Whether the layer rejects requests without a session.
    required: bool,
    session: Option<Session<C>>,
    outer: Option<Arc<Self>>,
}

/// A mistake in the application. Because of this mistake, it is unknown whether a request has a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misplaced {
    /// No session layer is around the handler.
    NoLayer,
    /// Only layers of other realms are around the handler.
    OtherRealm,
    /// The session layer around the handler has another claims type. The field is the name of that type.
    OtherClaims(&'static str),
    /// Several layers with the same claims type are around the handler, and all of these layers are optional.
    Ambiguous,
    /// The layer around the handler only verifies tokens, so its session cannot be changed.
    VerifyOnly,
}

impl<C: Claims> Layered<C> {
    /// Adds the result of a layer to the request. If two layers of the same realm are nested, the result of the inner
    /// layer replaces the result of the outer layer. The realm then counts as required if one of the two layers is
    /// required.
    pub(crate) fn insert(
        extensions: &mut Extensions,
        realm: EngineId,
        required: bool,
        session: Option<Session<C>>,
    ) {
        let outer = extensions.insert(Self { realm, required, session, outer: None });
        if let Some(outer) = outer
            && let Some(own) = extensions.get_mut::<Self>()
        {
            if outer.realm == realm {
                own.required |= outer.required;
                own.outer = outer.outer;
            } else {
                own.outer = Some(Arc::new(outer));
            }
        }
    }

    /// The session for a handler that names no realm. If all layers around the handler are of one realm, it is the
    /// session of this realm. Otherwise it is the session of the innermost required layer. A session of a layer that
    /// only verifies is an error.
    pub(crate) fn session(extensions: &Extensions) -> Result<Option<&Session<C>>, Misplaced> {
        match Self::readable(extensions)? {
            Some(session) if session.engine().only_verifies() => Err(Misplaced::VerifyOnly),
            found => Ok(found),
        }
    }

    /// As `session`, but also returns a session of a layer that only verifies. The caller may only read that session.
    pub(crate) fn readable(extensions: &Extensions) -> Result<Option<&Session<C>>, Misplaced> {
        let innermost = extensions.get::<Self>().ok_or_else(|| misplaced(extensions))?;
        if innermost.outer.is_none() {
            return Ok(innermost.session.as_ref());
        }
        let required = innermost.all().find(|layered| layered.required);
        required.map(|layered| layered.session.as_ref()).ok_or(Misplaced::Ambiguous)
    }

    /// The session of the realm `realm`.
    pub(crate) fn session_of(
        extensions: &Extensions,
        realm: EngineId,
    ) -> Result<Option<&Session<C>>, Misplaced> {
        let innermost = extensions.get::<Self>().ok_or_else(|| misplaced(extensions))?;
        let own = innermost.all().find(|layered| layered.realm == realm);
        own.map(|layered| layered.session.as_ref()).ok_or(Misplaced::OtherRealm)
    }

    /// The results of the layers, from the innermost layer to the outermost layer.
    fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |layered| layered.outer.as_deref())
    }
}

impl<C> Clone for Layered<C> {
    fn clone(&self) -> Self {
        Self { session: self.session.clone(), outer: self.outer.clone(), ..*self }
    }
}

impl Misplaced {
    /// Logs the mistake for the operator, if the feature `tracing` is on. `wanted_by` is the item that needed the
    /// session.
    pub(crate) fn report<C>(self, wanted_by: &'static str) {
        let claims = type_name::<C>();
        #[cfg(feature = "tracing")]
        tracing::error!(
            target: "tower_sliding_sessions",
            event = "session_misplaced", wanted_by, claims, cause = %self, "session_misplaced"
        );
        #[cfg(not(feature = "tracing"))]
        let _ = (self, wanted_by, claims);
    }
}

impl fmt::Display for Misplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLayer => f.write_str("no session layer is around this route"),
            Self::OtherRealm => f.write_str("only the session layer of another realm is around this route"),
            Self::OtherClaims(found) => {
                write!(f, "the session layer around this route has sessions with the claims type `{found}`")
            }
            Self::VerifyOnly => f.write_str(
                "the layer around this route only verifies: take a `Verified` in place of a `Session`",
            ),
            Self::Ambiguous => f.write_str(
                "optional session layers of several realms with this claims type are around this route: give \
                 each realm a claims type of its own, or ask `Sessions::session_of`",
            ),
        }
    }
}

/// A claims type for which this process has made a layer.
struct Known {
    name: &'static str,
    is_in: fn(&Extensions) -> bool,
}

/// One entry for each claims type. Only error messages need these entries.
static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// Notes a claims type, so that an error message can name it if a route asks for another claims type.
pub(crate) fn know<C: Claims>() {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.iter().all(|known| known.name != type_name::<C>()) {
        known.push(Known { name: type_name::<C>(), is_in: |request| request.get::<Layered<C>>().is_some() });
    }
}

fn misplaced(extensions: &Extensions) -> Misplaced {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let found = known.iter().find(|known| (known.is_in)(extensions));
    found.map_or(Misplaced::NoLayer, |found| Misplaced::OtherClaims(found.name))
}
