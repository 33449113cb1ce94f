//! A call of one of the functions.

use std::{fmt::Write as _, sync::Arc};

use sqlx::{
    Arguments as _, Encode, Postgres, Type,
    postgres::{PgArguments, PgRow},
};

use super::{
    Inner, Names,
    home::Home,
    run::{self, Call},
};
use crate::store::{
    SessionKey, StoreError,
    sql::{corrupt, unavailable},
};

/// A call whose list of arguments is not complete yet.
pub(super) struct Builder<'a> {
    inner: &'a Arc<Inner>,
    operation: &'static str,
    functions: String,
    arguments: PgArguments,
    unfit: bool,
}

impl<'a> Builder<'a> {
    pub(super) fn new(inner: &'a Arc<Inner>, home: &Home, operation: &'static str) -> Self {
        // The first argument starts with a NUL and a byte that no text begins with. So if a pooler passes this argument
        // to a statement of another program that expects a text or a number, that statement fails.
        let mut tag = vec![0x00, 0xff];
        tag.extend_from_slice(format!("{operation} {}", home.tag()).as_bytes());
        let arguments = PgArguments::default();
        let functions = format!("{}.{}", home.quoted(), home.tables());
        Self { inner, operation, functions, arguments, unfit: false }.bind(tag)
    }

    pub(super) fn bind<T: Encode<'a, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        self.unfit |= self.arguments.add(value).is_err();
        self
    }

    pub(super) fn names(self, names: &Names) -> Self {
        self.bind(names.realm.clone()).bind(names.name.clone())
    }

    pub(super) fn key(self, key: &SessionKey) -> Self {
        self.bind(key.subject.realm.as_bytes().to_vec())
            .bind(key.subject.name.as_bytes().to_vec())
            .bind(key.id.as_bytes().to_vec())
    }

    pub(super) async fn rows(self) -> Result<Vec<PgRow>, StoreError> {
        if self.unfit {
            return Err(corrupt("a value that PostgreSQL cannot hold"));
        }
        let mut sql = format!("SELECT * FROM {}_{}_v3(", self.functions, self.operation);
        for place in 1..=self.arguments.len() {
            let _infallible = write!(sql, "{}${place}", if place == 1 { "" } else { ", " });
        }
        sql.push(')');
        // The unnamed statement needs another text, because sqlx first looks for a named statement with the same text.
        let unnamed = format!("{sql} AS unnamed").into();
        run::rows(self.inner, Call { named: sql.into(), unnamed, arguments: self.arguments }).await
    }

    pub(super) async fn row(self) -> Result<PgRow, StoreError> {
        let first = self.rows().await?.into_iter().next();
        first.ok_or_else(|| unavailable(sqlx::Error::RowNotFound))
    }
}
