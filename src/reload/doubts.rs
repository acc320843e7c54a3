//! What a template has that was probably meant otherwise. It is no error: other front ends have attributes of their
//! own.

/// The attributes that the built-in client knows, and the beginnings of those that end in a name.
const ATTRIBUTES: [&str; 14] = [
    "ui-action",
    "ui-app",
    "ui-code",
    "ui-error",
    "ui-html",
    "ui-if",
    "ui-item-wrapper",
    "ui-missing",
    "ui-namespace",
    "ui-upload",
    "ui-value",
    "ui-view",
    "ui-viewdef",
    "ui-viewlist",
];
const BEGINNINGS: [&str; 4] = ["ui-attr-", "ui-class-", "ui-event-", "ui-style-"];
/// One that differs in more places is another one.
const MAX_TYPOS: usize = 2;

/// What was meant by an attribute that there is not.
pub(super) fn misspelt_attribute(attribute: &str) -> Option<String> {
    let is_known =
        ATTRIBUTES.contains(&attribute) || BEGINNINGS.iter().any(|known| attribute.starts_with(known));
    if is_known || !attribute.starts_with("ui-") && !attribute.starts_with("ui_") {
        return None;
    }
    let near = |name: &str, known: &str| strsim::damerau_levenshtein(name, known);
    let whole = ATTRIBUTES.iter().map(|known| (near(attribute, known), (*known).to_owned()));
    let begun = BEGINNINGS.iter().filter_map(|known| {
        let end = attribute.match_indices('-').nth(1)?.0 + 1;
        Some((near(&attribute[..end], known), format!("{known}{}", &attribute[end..])))
    });
    whole.chain(begun).filter(|(typos, _)| *typos <= MAX_TYPOS).min().map(|(_, meant)| meant)
}

/// What is wrong with the form of a path.
pub(super) fn of_path(path: &str) -> Option<String> {
    let call = path.split_once('(').map(|(_, rest)| rest);
    let has_arguments = call.is_some_and(|rest| !rest.starts_with(')') && !rest.starts_with("_)"));
    if path.contains('[') {
        Some(format!("{path:?}: an element is reached by its number, counted from 0: cards.0.title"))
    } else if has_arguments {
        Some(format!(
            "{path:?}: a call is name(), or name(_) for the value of the element; other arguments can't be written here"
        ))
    } else if path.starts_with("self.") || path.starts_with("this.") {
        Some(format!("{path:?}: paths start at the object itself: leave out {:?}", &path[..5]))
    } else if path.contains(':') {
        Some(format!("{path:?}: in a template a method is called with a dot: name(), object.name()"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_that_is_nearly_one_of_ours_is_doubted_and_no_other() {
        for (attribute, meant) in [
            ("ui-vaule", "ui-value"),
            ("ui-acton", "ui-action"),
            ("ui-veiw", "ui-view"),
            ("ui-viewlst", "ui-viewlist"),
            ("ui_value", "ui-value"),
            ("ui-clas-done", "ui-class-done"),
            ("ui-evnet-click", "ui-event-click"),
        ] {
            assert_eq!(misspelt_attribute(attribute).as_deref(), Some(meant), "{attribute}");
        }
        for attribute in
            ["ui-value", "ui-class-done", "ui-attr-x", "ui-tooltip", "class", "ui-grid-columns", "data-ui"]
        {
            assert_eq!(misspelt_attribute(attribute), None, "{attribute}");
        }
    }

    #[test]
    fn a_path_in_the_form_of_another_language_is_doubted() {
        for path in ["cards[0]", "add(5)", "self.name", "card:title()"] {
            assert!(of_path(path).is_some(), "{path}");
        }
        for path in ["cards.0", "add()", "add(_)", "a.b().c", "..x", "selfish.name", ""] {
            assert_eq!(of_path(path), None, "{path}");
        }
    }
}
