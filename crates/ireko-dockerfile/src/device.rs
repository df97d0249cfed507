//! `RUN --device=…`: the name of a device, and whether the step needs it.

use crate::mount::{boolean, did_you_mean, fields};

/// A device, as given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// Its name: `vendor.com/class=name`, `vendor.com/class` or `class`.
    pub name: String,
    /// Whether a missing device is an error.
    pub required: bool,
}

/// Reads `name[,required]`. Variables are not expanded in it.
pub fn parse(value: &str) -> Result<Device, String> {
    let mut device = Device::default();
    for field in fields(value)? {
        let (key, value) = field.split_once('=').map_or((&*field, None), |(key, value)| (key, Some(value)));
        let unnamed = device.name.is_empty();
        match (key.to_lowercase().as_str(), value) {
            ("required", None) => device.required = true,
            ("required", Some(value)) => device.required = boolean("required", value)?,
            ("name", Some(value)) if unnamed => device.name = value.to_owned(),
            ("name", Some(_)) => return Err(format!("device name already set to {}", device.name)),
            _ if unnamed => device.name = field.clone(),
            (_, None) => return Err(format!("invalid field '{field}' must be a key=value pair")),
            (key, Some(_)) => {
                let near = did_you_mean(key, &["name", "required"]);
                return Err(format!("unexpected key '{key}' in '{field}'{near}"));
            }
        }
    }
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read() {
        let device = |name: &str, required| Ok(Device { name: name.to_owned(), required });
        assert_eq!(parse("vendor.com/gpu=0"), device("vendor.com/gpu=0", false));
        assert_eq!(parse("name=gpu,required"), device("gpu", true));
        assert_eq!(parse("gpu,required=false"), device("gpu", false));
        assert_eq!(
            parse("gpu,requird=1").unwrap_err(),
            "unexpected key 'requird' in 'requird=1' (did you mean required?)"
        );
        assert_eq!(parse("a,name=b").unwrap_err(), "device name already set to a");
        assert_eq!(parse("a,b").unwrap_err(), "invalid field 'b' must be a key=value pair");
    }
}
