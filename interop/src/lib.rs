//! Programs that foreign clients and suites test; see `README.md` in this folder.
#![forbid(unsafe_code)]

/// The server that the project's front page shows compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct FrontPage;
