//! Addresses of the command line: what is shown is what was meant.

use spiped_tokio::{Address, BindAddress};

/// An address, and one to start connections from.
pub fn addresses(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match text.parse::<Address>() {
        Ok(address) => {
            let shown = address.to_string();
            assert_eq!(shown.parse(), Ok(address.clone()));
            // Whether an interface is there is not the address's.
            if text.starts_with(['/', '[']) && !text.contains('%') {
                let endpoints = address.resolve_blocking().unwrap();
                assert_eq!(endpoints.len(), 1);
                assert_eq!(endpoints[0].to_string(), shown);
            } else if !text.starts_with('[') {
                assert_eq!(shown, text);
            }
        }
        Err(error) => assert!(error.to_string().contains('\'')),
    }
    match text.parse::<BindAddress>() {
        Ok(bind) => {
            let shown = bind.address().to_string();
            assert_eq!(shown.parse(), Ok(bind));
        }
        Err(error) => assert!(error.to_string().contains('\'')),
    }
}
