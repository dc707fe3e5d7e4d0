"""The VAE that LTX-Video and LTX-2 share, with sizes of their own."""
