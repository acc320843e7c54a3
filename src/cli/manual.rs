//! `lua-hotloader completions` and `lua-hotloader man`: what shells and `man` read, made of the definition of the
//! command line.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, CliError};

pub(super) fn completions(shell: Shell) -> Result<(), CliError> {
    let (mut command, mut text) = (Cli::command(), Vec::new());
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut text);
    print(&text)
}

pub(super) fn page(command: Option<&str>) -> Result<(), CliError> {
    print(&render(command)?)
}

fn render(name: Option<&str>) -> Result<Vec<u8>, CliError> {
    let mut all = Cli::command();
    // Otherwise a page of a command would not say how that is called.
    all.build();
    let command = match name {
        None => all,
        Some(name) => match all.find_subcommand(name) {
            Some(command) => command.clone(),
            None => return Err(CliError::NoSuchCommand(name.into())),
        },
    };
    let title = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let mut text = Vec::new();
    clap_mangen::Man::new(command).title(title).render(&mut text).map_err(CliError::Output)?;
    Ok(text)
}

fn print(text: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        // Its reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(CliError::Output),
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn each_command_has_a_page_that_says_how_it_is_called() {
        let commands: Vec<_> =
            Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
        let whole = String::from_utf8(render(None).unwrap()).unwrap();
        for name in commands {
            let page = String::from_utf8(render(Some(&name)).unwrap()).unwrap();
            assert!(page.contains(&format!("lua\\-hotloader\\-{name}")), "{page}");
            assert!(whole.contains(&format!("lua\\-hotloader\\-{name}(1)")), "{name}: {whole}");
        }
        assert!(matches!(render(Some("sreve")), Err(CliError::NoSuchCommand(name)) if name == "sreve"));
    }

    #[test]
    fn each_shell_is_told_of_the_commands() {
        for shell in Shell::value_variants() {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "lua-hotloader", &mut text);
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("doctor") && text.contains("hotload"), "{shell}");
        }
    }
}
