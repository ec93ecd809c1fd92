"""Changes of collections that hold rows: fields added, embedded anew or dropped while readers go on."""
