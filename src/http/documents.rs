//! Documents that were let through: scanned and parsed once, kept while they are asked for, shared by HTTP and
//! WebSockets. What is kept is found by the hash of its text, which is also how a client may name a document that it
//! has sent before: Apollo's automatic persisted queries.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_graphql::ServerError;
use async_graphql::parser::parse_query;
use async_graphql::parser::types::ExecutableDocument;
use lru::LruCache;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::operation::error;
use crate::graphql::scan::{self, Refusal, Scanned};

/// How many tokens the documents that are kept may have together. A page's document has a hundred or two, and a
/// token takes up to some 300 bytes once it is parsed.
const MAX_TOKENS: usize = 100_000;
/// The least that a document counts for, so that the number of small ones is bounded too.
const LEAST: usize = 50;

/// The SHA-256 of a document's text.
pub(super) type Hash = [u8; 32];

/// A document that may be executed, with variables that its scan admits.
pub(super) struct Document {
    pub(super) text: Arc<str>,
    pub(super) parsed: Arc<ExecutableDocument>,
    pub(super) scanned: Scanned,
}

/// The documents that were asked for last.
pub(super) struct Documents(Mutex<Kept>);

struct Kept {
    by_hash: LruCache<Hash, Arc<Document>>,
    tokens: usize,
}

impl Default for Documents {
    fn default() -> Self {
        Self(Mutex::new(Kept { by_hash: LruCache::unbounded(), tokens: 0 }))
    }
}

impl Documents {
    /// The document of this text.
    ///
    /// # Errors
    /// Why it is refused, ready to be sent. Nothing is kept of it.
    pub(super) fn read(&self, text: &str) -> Result<Arc<Document>, ServerError> {
        // Longer texts are not hashed, but refused below.
        let hash = (text.len() <= scan::MAX_BYTES).then(|| hash_of(text));
        if let Some(known) = hash.and_then(|hash| self.named(&hash)) {
            return Ok(known);
        }
        let scanned = scan::document(text).map_err(refused)?;
        let parsed = parse_query(text)?;
        let document = Arc::new(Document { text: text.into(), parsed: Arc::new(parsed), scanned });
        if let Some(hash) = hash {
            self.kept().keep(hash, Arc::clone(&document));
        }
        Ok(document)
    }

    /// The document with this hash, if it is kept.
    pub(super) fn named(&self, hash: &Hash) -> Option<Arc<Document>> {
        self.kept().by_hash.get(hash).cloned()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, hash: Hash, document: Arc<Document>) {
        self.tokens += document.weight();
        if let Some(same) = self.by_hash.put(hash, document) {
            self.tokens -= same.weight();
        }
        while self.tokens > MAX_TOKENS
            && let Some((_, oldest)) = self.by_hash.pop_lru()
        {
            self.tokens -= oldest.weight();
        }
    }
}

impl Document {
    /// Whether it may be executed with these.
    ///
    /// # Errors
    /// Why not, ready to be sent.
    pub(super) fn admit(
        &self,
        variables: &Map<String, Value>,
        extensions: &Map<String, Value>,
    ) -> Result<(), ServerError> {
        self.scanned.admit(variables, extensions).map_err(refused)
    }

    fn weight(&self) -> usize {
        self.scanned.tokens.max(LEAST)
    }
}

/// The hash that a document is found by.
pub(super) fn hash_of(text: &str) -> Hash {
    Sha256::digest(text).into()
}

fn refused(refusal: Refusal) -> ServerError {
    error("DOCUMENT_REFUSED", &refusal.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_parsed_once() {
        let documents = Documents::default();
        let first = documents.read("{ a }").unwrap();
        assert!(Arc::ptr_eq(&first, &documents.read("{ a }").unwrap()));
        assert!(Arc::ptr_eq(&first, &documents.named(&hash_of("{ a }")).unwrap()));
        assert!(!Arc::ptr_eq(&first, &documents.read("{ a  }").unwrap()));
    }

    #[test]
    fn what_is_refused_is_not_kept() {
        let documents = Documents::default();
        for refused in ["{", "{ a(: 1) }", "fragment F on Q { ...F }"] {
            assert!(documents.read(refused).is_err(), "{refused}");
            assert!(documents.named(&hash_of(refused)).is_none(), "{refused}");
        }
    }

    #[test]
    fn the_documents_that_are_asked_for_stay_and_there_are_never_too_many() {
        let documents = Documents::default();
        let often = documents.read("{ often }").unwrap();
        let large = |number: usize| format!("{{ {} f{number} }}", "a ".repeat(1_000));
        for number in 0..3 * MAX_TOKENS / 1_000 {
            documents.read(&large(number)).unwrap();
            assert!(Arc::ptr_eq(&often, &documents.read("{ often }").unwrap()));
            assert!(documents.kept().tokens <= MAX_TOKENS);
        }
        for number in 0..2 * MAX_TOKENS / LEAST {
            documents.read(&format!("{{ f{number} }}")).unwrap();
        }
        let kept = documents.kept();
        assert_eq!((kept.by_hash.len(), kept.tokens), (MAX_TOKENS / LEAST, MAX_TOKENS));
    }
}
