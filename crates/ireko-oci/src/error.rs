//! What can be wrong with a text or document of the specifications.

/// Why a text or a document was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// An image reference breaks the grammar.
    #[error("invalid image reference `{text}`: {problem}")]
    Reference {
        /// The text as given.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A digest breaks the grammar or names an unknown algorithm.
    #[error("invalid digest `{text}`: {problem}")]
    Digest {
        /// The text as given.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A platform breaks the grammar or names nothing known.
    #[error("invalid platform `{text}`: {problem}")]
    Platform {
        /// The text as given.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A guest path is not absolute or holds a zero byte.
    #[error("invalid path `{text}`: {problem}")]
    GuestPath {
        /// The text as given.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A time is not RFC 3339.
    #[error("invalid time `{text}`: expected RFC 3339, such as `2024-05-01T12:00:00Z`")]
    Timestamp {
        /// The text as given.
        text: String,
    },
    /// A document is not the JSON it should be.
    #[error("cannot read {document}")]
    Json {
        /// Which document, such as `image config`.
        document: &'static str,
        /// What the JSON reader said.
        #[source]
        cause: serde_json::Error,
    },
    /// A document is JSON, but of a kind that cannot be used.
    #[error("cannot use {document}: {problem}")]
    Document {
        /// Which document.
        document: &'static str,
        /// Why not.
        problem: String,
    },
}
