// MicroPython's network_wlan.c and modsocket.c include mdns.h always and use it only where mDNS is enabled.
// Here it is not (mpconfigcommon.h), so the component espressif/mdns need not be there.
