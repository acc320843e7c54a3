//! Paths: how a variable says where its value is, seen from its parent.

use std::fmt;

use super::properties::{PropertySet, TooMany};
use crate::wire::{ErrorCode, Properties};

/// A path has at most so many elements.
const MAX_STEPS: usize = 64;
/// And so many bytes, with what follows its `?`.
const MAX_TEXT: usize = 4 << 10;

/// A path taken apart.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Path {
    pub(crate) steps: Vec<Step>,
}

/// One element of a path.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// A field.
    Field(Box<str>),
    /// An element of an array, counted from 0.
    Index(i64),
    /// A method without arguments.
    Call(Box<str>),
    /// A method with the written value; last element only.
    CallWith(Box<str>),
    /// From the parent's value to that of its parent.
    Parent,
}

/// What a browser may do with a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Access {
    Read,
    Write,
    #[default]
    ReadWrite,
    /// Writing it calls a method; it has no value.
    Action,
}

/// Why a path cannot be used.
#[derive(Debug, PartialEq)]
pub(crate) struct PathError {
    pub(crate) code: ErrorCode,
    pub(crate) description: String,
}

impl fmt::Display for Step {
    /// As it is written in a path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => f.write_str(name),
            Self::Index(index) => write!(f, "{index}"),
            Self::Call(name) => write!(f, "{name}()"),
            Self::CallWith(name) => write!(f, "{name}(_)"),
            Self::Parent => f.write_str(".."),
        }
    }
}

impl fmt::Display for Path {
    /// As bindings are written: see `reload::normal`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.steps.iter().enumerate() {
            let dot = if place > 0 { "." } else { "" };
            write!(f, "{dot}{step}")?;
        }
        Ok(())
    }
}

impl Path {
    /// Reads `a.b.0.name()?key=value&flag`; what follows `?` goes into `properties`.
    pub(crate) fn parse(text: &str, properties: &mut Properties) -> Result<Self, PathError> {
        if text.len() > MAX_TEXT {
            return Err(limit(format!("a path of {} bytes; it may have {MAX_TEXT}", text.len())));
        }
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, "true"));
            properties.insert(key.to_owned(), value.to_owned());
        }
        let mut steps = Vec::new();
        let mut rest = path.trim();
        while let Some(after) = rest.strip_prefix("..") {
            steps.push(Step::Parent);
            rest = after.strip_prefix('.').unwrap_or(after);
        }
        if !rest.is_empty() {
            for element in rest.split('.') {
                steps.push(step(element, text)?);
            }
        }
        if steps.len() > MAX_STEPS {
            return Err(limit(format!("a path of {} elements; it may have {MAX_STEPS}", steps.len())));
        }
        steps.shrink_to_fit();
        let before_last = steps.len().saturating_sub(1);
        if steps[..before_last].iter().any(|step| matches!(step, Step::CallWith(_))) {
            return Err(bad(format!("path {text:?}: a call with (_) has to be the last element")));
        }
        Ok(Self { steps })
    }
}

impl Access {
    /// What the property `access` says, and whether the path can be used so.
    pub(crate) fn parse(text: Option<&str>, path: &Path) -> Result<Self, PathError> {
        let access = match text {
            None | Some("" | "rw") => Self::ReadWrite,
            Some("r") => Self::Read,
            Some("w") => Self::Write,
            Some("action") => Self::Action,
            Some(other) => {
                return Err(bad(format!("access {other:?}: it is \"r\", \"w\", \"rw\" or \"action\"")));
            }
        };
        match (path.steps.last(), access) {
            (Some(Step::Call(_)), Self::Write) => {
                Err(bad("a call with () can't have access \"w\"; write it with (_)".into()))
            }
            (Some(Step::CallWith(_)), Self::Read | Self::ReadWrite) if text.is_some() => {
                Err(bad("a call with (_) needs access \"w\" or \"action\"".into()))
            }
            (Some(Step::CallWith(_)), Self::ReadWrite) => Ok(Self::Write),
            _ => Ok(access),
        }
    }

    pub(crate) fn readable(self) -> bool {
        matches!(self, Self::Read | Self::ReadWrite)
    }

    pub(crate) fn writable(self) -> bool {
        self != Self::Read
    }
}

fn limit(description: String) -> PathError {
    PathError { code: ErrorCode::Limit, description }
}

fn bad(description: String) -> PathError {
    PathError { code: ErrorCode::PathFailure, description }
}

fn step(element: &str, path: &str) -> Result<Step, PathError> {
    let (name, kind): (&str, fn(Box<str>) -> Step) = if let Some(name) = element.strip_suffix("(_)") {
        (name, Step::CallWith)
    } else if let Some(name) = element.strip_suffix("()") {
        (name, Step::Call)
    } else {
        (element, Step::Field)
    };
    if name.starts_with('_') {
        let description = format!("path {path:?}: {name:?} is private");
        return Err(PathError { code: ErrorCode::Unauthorized, description });
    }
    if name.is_empty() || name.contains(['(', ')', '\0']) {
        return Err(bad(format!("path {path:?}: {element:?} is not a name, an index or a call")));
    }
    if let Ok(index) = name.parse::<u32>() {
        return match kind("".into()) {
            Step::Field(_) => Ok(Step::Index(i64::from(index))),
            _ => Err(bad(format!("path {path:?}: an index can't be called"))),
        };
    }
    Ok(kind(name.into()))
}

/// What the property `path` says, if there is one; what follows its `?` becomes properties.
pub(super) fn parse(properties: &mut PropertySet) -> Result<(Option<Path>, Access), PathError> {
    let path = match properties.get("path").map(str::to_owned) {
        Some(text) => {
            let mut more = Properties::new();
            let path = Path::parse(&text, &mut more)?;
            for (name, value) in more {
                let too_long =
                    |error: TooMany| PathError { code: ErrorCode::Limit, description: error.to_string() };
                properties.put(&name, value).map_err(too_long)?;
            }
            Some(path)
        }
        None => None,
    };
    let access = Access::parse(properties.get("access"), path.as_ref().unwrap_or(&Path::default()))?;
    Ok((path, access))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_is_given_as_a_path_is_read_or_refused(
            text in r"(.{0,60}|((count|name\(\)|name\(_\)|\.\.|-?[0-9]{1,22}|_G|.{0,5})\.){0,5}(\?.{0,20})?)"
        ) {
            let mut properties = Properties::new();
            if let Ok(path) = Path::parse(&text, &mut properties) {
                prop_assert!(path.steps.len() <= 64 && text.len() <= 4 << 10);
                for access in [None, Some("r"), Some("rw"), Some("w"), Some("action")] {
                    drop(Access::parse(access, &path));
                }
            }
        }
    }

    fn steps(text: &str) -> Result<Vec<Step>, ErrorCode> {
        Path::parse(text, &mut Properties::new()).map(|path| path.steps).map_err(|error| error.code)
    }

    #[test]
    fn a_path_is_fields_indexes_and_calls() {
        let expected = vec![
            Step::Field("a".into()),
            Step::Index(0),
            Step::Call("name".into()),
            Step::CallWith("set".into()),
        ];
        assert_eq!(steps("a.0.name().set(_)"), Ok(expected));
        assert_eq!(steps(""), Ok(vec![]));
        assert_eq!(steps(".."), Ok(vec![Step::Parent]));
        assert_eq!(steps("...x"), Ok(vec![Step::Parent, Step::Field("x".into())]));
    }

    #[test]
    fn a_step_is_shown_as_it_was_written() {
        for text in ["a", "0", "name()", "set(_)", ".."] {
            assert_eq!(steps(text).unwrap()[0].to_string(), text);
        }
    }

    #[test]
    fn what_is_looked_up_is_what_is_followed() {
        for text in
            ["", " a.b ", "..", "..x", "...x", ".....x.0", "007", "a.+1.b()", "set(_)?x=y", "a?b?c", ".....7"]
        {
            let path = Path::parse(text, &mut Properties::new()).unwrap();
            assert_eq!(path.to_string(), crate::reload::normal(text), "{text:?}");
            assert_eq!(Path::parse(&path.to_string(), &mut Properties::new()).unwrap(), path, "{text:?}");
        }
    }

    #[test]
    fn what_follows_the_question_mark_becomes_properties() {
        let mut properties = Properties::new();
        Path::parse("a?keypress&wrapper=lua.ViewList", &mut properties).unwrap();
        assert_eq!(properties["keypress"], "true");
        assert_eq!(properties["wrapper"], "lua.ViewList");
    }

    #[test]
    fn private_names_are_not_to_be_had_and_nonsense_is_refused() {
        for text in ["_secret", "a._secret", "a._f()", "__index"] {
            assert_eq!(steps(text), Err(ErrorCode::Unauthorized), "{text}");
        }
        for text in ["a..b", "f(_).x", "f(x)", "0()", "."] {
            assert_eq!(steps(text), Err(ErrorCode::PathFailure), "{text}");
        }
    }

    #[test]
    fn elements_and_bytes_have_a_limit() {
        assert_eq!(steps(&"...".repeat(64)).map(|steps| steps.len()), Ok(64));
        assert_eq!(steps(&"...".repeat(65)), Err(ErrorCode::Limit));
        assert_eq!(steps(&format!("a{}", ".a".repeat(64))), Err(ErrorCode::Limit));
        assert!(steps(&"x".repeat(4096)).is_ok());
        assert_eq!(steps(&"x".repeat(4097)), Err(ErrorCode::Limit));
        assert_eq!(steps(&format!("a?{}", "b&".repeat(2100))), Err(ErrorCode::Limit));
    }

    #[test]
    fn access_has_to_fit_the_path() {
        let access = |text: Option<&str>, path: &str| {
            Access::parse(text, &Path::parse(path, &mut Properties::new()).unwrap())
        };
        assert_eq!(access(None, "a"), Ok(Access::ReadWrite));
        assert!(access(Some("w"), "f()").is_err());
        assert!(access(Some("r"), "f(_)").is_err());
        assert_eq!(access(Some("action"), "f(_)"), Ok(Access::Action));
        assert_eq!(access(None, "f(_)"), Ok(Access::Write));
    }
}
