#![doc = include_str!("catalogue.md")]
