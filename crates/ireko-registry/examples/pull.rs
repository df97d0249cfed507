//! Pulls an image's documents and layers, and says what came: `cargo run --example pull -- localhost:5000/app`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to the person who runs it")]

use std::io;

use ireko_oci::{Platform, Reference};
use ireko_registry::{Options, Registry};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).ok_or("usage: pull REFERENCE")?;
    let reference: Reference = name.parse()?;
    let registry = Registry::new(Options::default());
    let image = match registry.image(&reference, &Platform::host()) {
        Ok(image) => image,
        Err(error) => {
            eprintln!(
                "{error} (retryable: {}, blame: {:?}, hint: {:?})",
                error.retryable(),
                error.blame(),
                error.hint()
            );
            return Err(error.into());
        }
    };
    println!("{} {} {}", image.reference, image.top.digest, image.top.media_type);
    println!("manifest {} config {}", image.manifest_digest, image.manifest.config.digest);
    for layer in &image.manifest.layers {
        let mut seen = 0;
        registry.blob(&image.reference, layer, &mut io::sink(), &mut |bytes| seen = bytes)?;
        println!("layer {} {seen} bytes", layer.digest);
    }
    Ok(())
}
