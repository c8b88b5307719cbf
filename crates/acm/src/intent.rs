//! How services say that they use a certificate. One in use cannot be deleted.

use crate::rows::Certificate;
use store::Tx;
use types::Scope;

/// Notes that `user` (a listener's ARN) uses the certificate; it is shown as `shown_as` (a load balancer's ARN).
pub fn use_certificate(tx: &mut Tx, scope: &Scope, certificate: &str, user: &str, shown_as: &str) {
    tx.update::<Certificate>(scope, certificate, |row| {
        row.used_by.insert(user.to_owned(), shown_as.to_owned());
    });
}

/// Notes that `user` no longer uses the certificate.
pub fn release_certificate(tx: &mut Tx, scope: &Scope, certificate: &str, user: &str) {
    tx.update::<Certificate>(scope, certificate, |row| {
        row.used_by.remove(user);
    });
}
