//! User names and passwords in addresses.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

/// The address without its user name, and the header that says it instead.
pub(super) fn split(url: &str) -> (String, Option<String>) {
    let none = || (url.to_owned(), None);
    let Some((scheme, rest)) = url.split_once("://") else { return none() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let Some((login, host)) = rest[..end].rsplit_once('@') else { return none() };
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let mut plain: Vec<u8> = percent_decode_str(user).collect();
    plain.push(b':');
    plain.extend(percent_decode_str(password));
    let header = format!("Basic {}", STANDARD.encode(plain));
    (format!("{scheme}://{host}{}", &rest[end..]), Some(header))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, plain: &str, login: Option<&str>) {
        let (found, header) = split(url);
        let expected = login.map(|login| format!("Basic {}", STANDARD.encode(login)));
        assert_eq!((found.as_str(), header), (plain, expected), "{url}");
    }

    #[test]
    fn a_login_is_taken_out_of_the_address() {
        check("https://h/a@b", "https://h/a@b", None);
        check("https://me:pa%40ss@h:1/a?b", "https://h:1/a?b", Some("me:pa@ss"));
        check("https://me@h", "https://h", Some("me:"));
        check("https://a@b:c@h/", "https://h/", Some("a@b:c"));
        check("https://%+1:%4@h/", "https://h/", Some("%+1:%4"));
        check("no url", "no url", None);
    }
}
