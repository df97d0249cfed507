//! Serde forms of Go's JSON: `null` for an empty list, `{}` for a set's members, fields left out when empty.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::{DeserializeOwned, IgnoredAny};
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
