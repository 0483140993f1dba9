/// How far TLS is demanded, from the weakest to the strongest mode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, clap::ValueEnum)]
pub enum SslMode {
    /// No TLS
    Disable,
    /// TLS if the server knows it; with a CA also verified in full
    #[value(alias = "allow")]
    Prefer,
    /// TLS with any server; with a CA also verified in full
    Require,
    /// TLS with a server that the CA vouches for, under any name
    VerifyCa,
    /// TLS with a server that the CA vouches for under the host's name
    VerifyFull,
}
