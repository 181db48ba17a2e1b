//! Searches that say less than they name.

use super::Repairs;
use crate::error::Error;
use crate::message::{Missing, SearchRequest};
use crate::quirks::Quirks;

impl Repairs<'_> {
    /// Takes what a search names without saying it for what it does not name.
    ///
    /// # Errors
    ///
    /// `invalidSyntax`, `invalidFilter` or `invalidValue` without the quirk.
    pub(crate) fn search(&mut self, request: &SearchRequest) -> Result<(), Error> {
        let Some(missing) = request.missing.first() else { return Ok(()) };
        if self.uses(Quirks::EMPTY_SEARCHES) {
            return Ok(());
        }
        Err(match missing {
            Missing::Body => {
                Error::syntax("the request has no body; send a SearchRequest, at least its schemas")
            }
            Missing::Value("filter") => {
                Error::filter("the filter is empty; leave it out to find everything")
            }
            Missing::Value(name) => Error::value(*name, "has no value; give one, or leave it out"),
        })
    }
}
