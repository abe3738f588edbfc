"""Static dielectric response from fluctuations of the dipole and from static fields."""
