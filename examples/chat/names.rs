//! The rules for names: of people, rooms and files. Lengths are in characters.

use serde::{Deserialize, Serialize};
use std::collections::HashSet;

use crate::protocol::PREDEFINED_ROOMS;

const MAX_PERSON_LEN: usize = 24;
const MAX_ROOM_LEN: usize = 32;
const MAX_FILE_LEN: usize = 100;
const MAX_MEDIA_TYPE_LEN: usize = 100;

/// The name of a room. There is no invalid one: deserializing checks it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct RoomName(String);

impl RoomName {
    /// The rooms that are always there.
    pub(crate) fn predefined() -> impl Iterator<Item = Self> {
        PREDEFINED_ROOMS.iter().map(|&name| Self(name.to_owned()))
    }

    pub(crate) fn is_predefined(&self) -> bool {
        PREDEFINED_ROOMS.contains(&&*self.0)
    }

    /// The Socket.IO room. Socket.IO also has one for every socket, called like its id: with the prefix, nobody can
    /// name a room so that it is somebody else's.
    pub(crate) fn channel(&self) -> String {
        format!("chat:{}", self.0)
    }
}

impl TryFrom<String> for RoomName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if matches!(name.len(), 1..=MAX_ROOM_LEN) && name.bytes().all(allowed) {
            return Ok(Self(name));
        }
        Err("a room's name has 1 to 32 characters of a-z, 0-9, _ and -")
    }
}

/// The name that somebody wants to have, without the white space around it.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn person(wanted: Option<&str>) -> Result<&str, &'static str> {
    let name = wanted.ok_or("missing")?.trim();
    if name.is_empty() {
        return Err("empty");
    }
    if name.chars().count() > MAX_PERSON_LEN {
        return Err("too long");
    }
    if name.chars().any(char::is_control) {
        return Err("control character");
    }
    Ok(name)
}

/// The name that somebody gets: the wanted one, with a number behind it if others (in lower case) have it already.
pub(crate) fn unique(wanted: &str, taken: &HashSet<String>) -> String {
    let mut name = wanted.to_owned();
    let mut number = 2_u32;
    while taken.contains(&name.to_lowercase()) {
        let suffix = format!(" {number}");
        let room_left = MAX_PERSON_LEN - suffix.len();
        let stem: String = wanted.chars().take(room_left).collect();
        name = format!("{}{suffix}", stem.trim_end());
        number += 1;
    }
    name
}

/// A file's name without what could make a path or an escape sequence of it.
pub(crate) fn file(given: &str) -> String {
    let kept: String = given.chars().filter(|c| !c.is_control() && !matches!(c, '/' | '\\')).collect();
    let name: String = kept.trim().chars().take(MAX_FILE_LEN).collect();
    if name.is_empty() { "file".to_owned() } else { name }
}

/// A file's media type, or that of unknown bytes: it is told to other people's browsers.
pub(crate) fn media_type(claimed: &str) -> &str {
    let is_token = |part: &str| {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'+' | b'-');
        !part.is_empty() && part.bytes().all(allowed)
    };
    match claimed.split_once('/') {
        Some((kind, subtype))
            if claimed.len() <= MAX_MEDIA_TYPE_LEN && is_token(kind) && is_token(subtype) =>
        {
            claimed
        }
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_name_gets_the_first_free_number_and_stays_short_enough() {
        let taken = ["ada", "ada 2", "grace", "a very long name indeed!"].map(str::to_owned).into();
        assert_eq!(unique("Linus", &taken), "Linus");
        assert_eq!(unique("ADA", &taken), "ADA 3");
        assert_eq!(unique("Grace", &taken), "Grace 2");
        assert_eq!(unique("A very long name indeed!", &taken), "A very long name indee 2");
    }

    #[test]
    fn a_persons_name_is_checked_after_trimming() {
        assert_eq!(person(Some("  Ada\n")), Ok("Ada"));
        assert_eq!(person(None), Err("missing"));
        assert_eq!(person(Some(" \t ")), Err("empty"));
        assert_eq!(person(Some(&"é".repeat(24))), Ok(&*"é".repeat(24)));
        assert_eq!(person(Some(&"é".repeat(25))), Err("too long"));
        assert_eq!(person(Some("a\u{85}b")), Err("control character"));
    }

    #[test]
    fn a_file_name_is_no_path() {
        assert_eq!(file("  ../a\\b\0c  "), "..abc");
        assert_eq!(file("/ \\"), "file");
        assert_eq!(file(&"é".repeat(120)), "é".repeat(100));
    }

    #[test]
    fn a_media_type_that_is_none_is_that_of_unknown_bytes() {
        assert_eq!(media_type("image/svg+xml"), "image/svg+xml");
        for odd in
            ["", "image", "image/", "/png", "Image/PNG", "a/b/c", "text/html; charset=x", &"a/".repeat(60)]
        {
            assert_eq!(media_type(odd), "application/octet-stream", "{odd}");
        }
    }
}
