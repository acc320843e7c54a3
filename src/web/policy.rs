//! Which scripts run in the pages that the server writes itself.

/// What the scripts of one answer show, so that the browser runs them: 128 random bits.
///
/// # Errors
/// If the operating system has no randomness to give.
pub(super) fn nonce() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The Content-Security-Policy: scripts of this server, and those that show the nonce; none in attributes,
/// and no `eval`. Styles, images and connections are the site's business.
pub(super) fn content_security_policy(nonce: &str) -> String {
    format!("script-src 'self' 'nonce-{nonce}'; object-src 'none'; base-uri 'none'; frame-ancestors 'self'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_answers_have_the_same_nonce() {
        let (one, two) = (nonce().expect("randomness"), nonce().expect("randomness"));
        assert_ne!(one, two);
        assert_eq!(one.len(), 32);
        assert!(content_security_policy(&one).contains(&format!("'nonce-{one}'")));
    }
}
