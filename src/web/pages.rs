//! The few pages the server writes itself. Whatever goes into them is escaped.

use std::fmt::Write;

use crate::{config::Base, reload::Diagnostic, session::SessionId};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:3rem auto;padding:0 1rem;\
    color:#222;background:#fff}h1{font-size:1.4rem}pre{background:#f4f4f4;padding:1rem;overflow:auto}\
    mark{background:#ffd7d7;display:block}code{background:#f4f4f4}\
    @media(prefers-color-scheme:dark){body{color:#ddd;background:#1c1c1c}pre,code{background:#2a2a2a}\
    mark{background:#5a2a2a;color:inherit}a{color:#8ab4f8}}";

/// Makes text safe between tags and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><link rel=\"icon\" href=\"data:,\"><style>{STYLE}</style></head>\n\
         <body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
    )
}

/// The session of this address is not there (any more).
pub(super) fn unknown_session(id: SessionId, base: &Base) -> String {
    let home = base.path("/");
    let body = format!(
        "<p>There is no session <code>{id}</code>. It has ended, or the server was started anew.</p>\n\
         <p><a href=\"{home}\">Begin a new session</a></p>"
    );
    page("This session is not known", &body)
}

/// Another browser began the session of this address.
pub(super) fn somebody_elses(id: SessionId, base: &Base) -> String {
    let home = base.path("/");
    let body = format!(
        "<p>Session <code>{id}</code> belongs to the browser that began it: a copied address does not open it, and \
         neither does a browser that has forgotten its cookies.</p>\n\
         <p><a href=\"{home}\">Begin a new session</a></p>"
    );
    page("This is somebody else's session", &body)
}

/// A page that says one thing.
pub(super) fn plain(title: &str, text: &str) -> String {
    page(title, &format!("<p>{}</p>", escape(text)))
}

/// On the page of a failed start: the client listens, and once a reload went well, or the state was made
/// anew, the application's own page is asked for.
const COME_ALIVE: &str = r#"<script type="module" nonce="{nonce}" src="{base}/_client/main.js"></script>
<script type="module" nonce="{nonce}">
  const handlers = window.uiApp?.getStore().handlers ?? {};
  const { reload } = handlers;
  handlers.restart = () => location.reload();
  handlers.reload = (report) => report.status === "ok" ? location.reload() : reload?.(report);
</script>"#;

/// `main.lua` failed. The page comes alive when the file is mended. `nonce` is what its scripts show.
pub(super) fn start_error(error: &Diagnostic, nonce: &str, base: &Base) -> String {
    let mut body = String::from("<p><strong>");
    body.push_str(&escape(&error.file));
    if let Some(line) = error.line {
        // Writing to a String cannot fail.
        let _ = write!(body, ":{line}");
    }
    let _ = writeln!(body, "</strong></p>\n<pre>{}</pre>", escape(&error.message));
    if let Some(hint) = error.hint() {
        let _ = writeln!(body, "<p>{}</p>", escape(hint));
    }
    if !error.excerpt.is_empty() {
        body.push_str("<pre>");
        for line in &error.excerpt {
            let text = format!("{:>5} | {}\n", line.line, escape(&line.text));
            if error.line == Some(line.line) {
                let _ = write!(body, "<mark>{text}</mark>");
            } else {
                body.push_str(&text);
            }
        }
        body.push_str("</pre>\n");
    }
    if !error.traceback.is_empty() {
        let traceback = escape(&error.traceback);
        let _ = writeln!(body, "<details><summary>Traceback</summary><pre>{traceback}</pre></details>");
    }
    body.push_str("<p>The application appears as soon as the file is mended and saved.</p>\n");
    body.push_str(&COME_ALIVE.replace("{nonce}", nonce).replace("{base}", &base.path("")));
    page("The application could not start", &body)
}

/// The variable tree, as it is.
pub(super) fn variables(id: SessionId, tree: &serde_json::Value, base: &Base) -> String {
    let session = base.path(&format!("/{id}"));
    let body = format!(
        "<p><a href=\"{session}\">Session {id}</a> · <a href=\"{session}/variables.json\">JSON</a></p>\n<pre>{}</pre>",
        escape(&format!("{tree:#}"))
    );
    page("Variables", &body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reload::ExcerptLine;

    #[test]
    fn nothing_of_an_error_becomes_markup() {
        let hostile = "<script>alert('x')</script>&\"";
        let error = Diagnostic {
            file: hostile.into(),
            line: Some(2),
            message: hostile.into(),
            excerpt: vec![
                ExcerptLine { line: 1, text: hostile.into() },
                ExcerptLine { line: 2, text: hostile.into() },
            ],
            traceback: hostile.into(),
        };
        let page = start_error(&error, "0123", &Base::default());
        assert!(!page.contains("<script>"), "{page}");
        assert_eq!(page.matches("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;").count(), 5);
        assert!(page.contains("<mark>    2 | "), "the line is marked: {page}");
        assert!(page.contains("nonce=\"0123\" src=\"/_client/main.js\""));
        assert_eq!(page.matches("<script").count(), page.matches("nonce=\"0123\"").count());
    }

    #[test]
    fn nothing_of_the_variables_becomes_markup() {
        let id = "0123456789abcdef0123456789abcdef".parse().expect("an id");
        let page = variables(id, &serde_json::json!([{"value": "</pre><script>"}]), &Base::default());
        assert!(!page.contains("<script>"), "{page}");
    }
}
