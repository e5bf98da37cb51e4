"""natstream: live logs of Fly.io applications, on trio."""
