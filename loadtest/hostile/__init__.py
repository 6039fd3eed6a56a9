"""Hostile load on a running service, beside healthy clients: ``make hostile``.

The service and the attackers are processes of their own. The healthy clients are here, and
are watched before, during and after.
"""
