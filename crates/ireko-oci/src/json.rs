//! Serde forms of Go's JSON: `null` for an empty list, `{}` for a set's members, fields left out when empty.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::value::SeqAccessDeserializer;
use serde::de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::OciError;

/// Reads `null` as the type's default value.
pub(crate) fn or_default<'de, D, T>(source: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(source)?.unwrap_or_default())
}

/// Reads a command: a list of words, or one word alone, as very old images have it; `null` is no word.
pub(crate) fn read_command<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<String>, D::Error> {
    struct Words;
    impl<'de> Visitor<'de> for Words {
        type Value = Vec<String>;

        fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            to.write_str("a list of words or one word")
        }

        fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Self::Value, E> {
            Ok(vec![word.to_owned()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, words: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(words))
        }
    }
    source.deserialize_any(Words)
}

/// Whether a value equals its type's default, and is therefore left out.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Writes a set as an object whose values are empty objects.
pub(crate) fn write_set<S: Serializer>(set: &BTreeSet<String>, sink: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Empty {}
    let mut map = sink.serialize_map(Some(set.len()))?;
    for member in set {
        map.serialize_entry(member, &Empty {})?;
    }
    map.end()
}

/// Reads a set from an object's names, whatever their values; `null` is the empty set.
pub(crate) fn read_set<'de, D: Deserializer<'de>>(source: D) -> Result<BTreeSet<String>, D::Error> {
    let map = Option::<BTreeMap<String, IgnoredAny>>::deserialize(source)?;
    Ok(map.unwrap_or_default().into_keys().collect())
}

/// Reads a whole document.
pub(crate) fn read<T: DeserializeOwned>(document: &'static str, bytes: &[u8]) -> Result<T, OciError> {
    serde_json::from_slice(bytes).map_err(|cause| OciError::Json { document, cause })
}

/// Writes a whole document without white space.
pub(crate) fn write<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("maps have string keys and no value refuses to serialise")
}
