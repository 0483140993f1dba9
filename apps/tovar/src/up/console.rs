use std::io::IsTerminal;

/// Prints the step that begins now.
pub fn step(text: &str) {
    println!("{} {text}", paint("1;36", "→"));
}

/// Prints something that an operator should know, on standard error.
pub fn warn(text: &str) {
    eprintln!("{} {text}", paint("1;33", "!"));
}

fn paint(style: &str, text: &str) -> String {
    if std::io::stdout().is_terminal() {
        format!("\x1b[{style}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
